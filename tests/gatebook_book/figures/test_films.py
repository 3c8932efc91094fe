"""Episodes as pictures."""

import xml.etree.ElementTree as ET

import numpy as np
from gatebook.match import Match, perfect
from gatebook.match.picture import film
from gatebook_book.figures import films

SVG = "{http://www.w3.org/2000/svg}"
FRAMES = film(Match("active", explore=15, delay=2), perfect)


def moving():
    return whole().find(f"{SVG}svg")


def whole():
    return ET.fromstring(films.moving(FRAMES, "An episode").data)


def test_the_moving_picture_shows_each_cell_in_its_colours():
    picture = moving()
    cells = picture.findall(f"{SVG}rect")
    rows, columns = FRAMES[0].room.shape[:2]
    assert len(cells) == rows * columns + 25 + 1
    for k in (0, rows * columns // 2, rows * columns - 1):
        colours = [bytes(f.room.reshape(-1, 3)[k]).hex() for f in FRAMES]
        changes = cells[k].find(f"{SVG}animate")
        shown = changes.get("values").split(";") if changes is not None else colours
        assert [f"#{c}" for c in colours] == shown or len(set(colours)) == 1
        assert cells[k].get("fill") == f"#{colours[0]}"


def test_the_outline_goes_with_the_agent():
    outline = moving().findall(f"{SVG}rect")[-1]
    changes = {a.get("attributeName"): a.get("values") for a in outline}
    steps = [float(x) / films.CELL for x in changes["x"].split(";")]
    left = float(moving().find(f"{SVG}rect").get("x")) / films.CELL
    assert np.array_equal(steps, [left + f.at[1] - 2 for f in FRAMES])


def test_every_change_has_a_value_for_every_frame_and_they_keep_time():
    changes = moving().iter(f"{SVG}animate")
    lengths = {(len(a.get("values").split(";")), a.get("dur")) for a in changes}
    assert lengths == {(len(FRAMES), f"{films.SECONDS * len(FRAMES):g}s")}


def test_one_phase_is_named_at_a_time():
    names = moving().findall(f"{SVG}text")
    shown = [t.find(f"{SVG}animate").get("values").split(";") for t in names]
    assert [t.text for t in names] == ["explore", "apples", "switches"]
    assert all(sorted(each) == ["0", "0", "1"] for each in zip(*shown, strict=True))


def test_the_strip_has_two_pictures_a_frame():
    fig = films.strip(FRAMES[:3])
    assert [len(ax.images) for ax in fig.axes] == [1] * 6
    assert len(fig.axes[0].patches) == 1


def test_a_button_stops_it_which_a_key_can_reach():
    (button,) = whole().iter("button")
    assert button.get("type") == "button" and "pauseAnimations" in button.get("onclick")
