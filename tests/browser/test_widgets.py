"""The widgets in a page without a kernel: served, and opened from a file."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import numpy as np
import pytest
import torch
from gatebook import inside
from gatebook_book import widgets
from gatebook_book.pages.pages import find, page_names
from gatebook_book.site.mend import MARKER, NOTE
from gatebook_book.tasks.pixels import bit_reversal
from gatebook_book.theory import detach, gate, gumbel, laws, refine, timescales
from gatebook_book.widgets.base import Widget
from gatebook_book.widgets.gate_words import DIGITS, stored_sentences
from gatebook_book.widgets.pixel_order import digits
from gatebook_book.widgets.rank_cost import stored_costs
from playwright.sync_api import Browser, Locator, Page

ROOT = Path(__file__).resolve().parents[2]
HTML = ROOT / "_build/html/book"
SOURCES = {name: find(name).file.read_text() for name in page_names()}
SHOWING = [name for name in SOURCES if "gatebook_book.widgets" in SOURCES[name]]
# These have tests of their own, `test_playground.py` and `test_explorer.py`.
OTHERS = re.compile("import (Playground|GateExplorer)")
WITH_WIDGETS = [name for name in SHOWING if not OTHERS.search(SOURCES[name])]
PLACES = [("bare", "file")] + [
    (n, how) for n in WITH_WIDGETS for how in ("http", "file")
]
EVERY = [getattr(widgets, name) for name in widgets.__all__]
ALL = [kind for kind in EVERY if issubclass(kind, Widget)]

BARE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>Widgets</title>
<meta name="viewport" content="width=device-width"><body style="margin: 16px">
{views}<script type="application/vnd.jupyter.widget-state+json">{states}</script>
<script defer src="{loader}"></script></body></html>"""


def view(model: str) -> str:
    marker = f'{MARKER}{{"model_id": "{model}"}}</script>'
    return f'<section data-model="{model}">{marker}</section>'


@pytest.fixture(scope="module")
def bare(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The address of a small page, as nothing but a browser and the loader need it.

    The four widgets, one of them twice, one more of its class, and two that fail.
    """
    models = {kind.__name__: kind() for kind in ALL}
    models["another"] = widgets.RefineBand(f=0.5)
    states = {"broken": {"state": {"_esm": "throw new Error('broken on purpose')"}}}
    states |= {name: {"state": w.get_state()} for name, w in models.items()}
    text = json.dumps({"state": states}).replace("</", "<\\/")
    shown = ["missing", *states, "RefineBand"]
    page = tmp_path_factory.mktemp("bare") / "page.html"
    loader = (ROOT / "book/_static/widgets.js").as_uri()
    views = "".join(view(name) for name in shown)
    page.write_text(BARE.format(views=views, states=text, loader=loader))
    return page.as_uri()


@dataclass
class Opened:
    """A page, what went wrong in it, and all it asked for."""

    page: Page
    errors: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def hosts(self) -> set[str]:
        return {urlparse(a).netloc for a in self.asked if not a.startswith("blob:")}


@pytest.fixture
def show(browser: Browser, request: pytest.FixtureRequest) -> Iterator[Callable]:
    """Open a page of the site, or the bare one, in one of two ways."""
    contexts = []

    def go(name: str, how: str, width: int = 1280, **options: Any) -> Opened:
        viewport = {"width": width, "height": 900}
        contexts.append(browser.new_context(viewport=viewport, **options))
        opened = Opened(contexts[-1].new_page())
        page, note = opened.page, opened.errors.append
        page.on("console", lambda m: note(m.text) if is_error(m) else None)
        page.on("pageerror", lambda e: note(str(e)))
        page.on("request", lambda r: opened.asked.append(r.url))
        page.goto(address(request, name, how), wait_until="load")
        if options.get("java_script_enabled", True):
            page.wait_for_function(STARTED)
        return opened

    yield go
    for context in contexts:
        context.close()


STARTED = """() => document.readyState === "complete"
  && [...document.querySelectorAll('script[type$="widget-view+json"]')]
    .every((marker) => marker.previousElementSibling?.childNodes.length)"""


def is_error(message: Any) -> bool:
    # From a file a browser does not preload fonts, as the theme asks; it loads them
    # when they are used.
    preload = "/webfonts/" in message.text or "/webfonts/" in message.location["url"]
    return message.type == "error" and not preload


def address(request: pytest.FixtureRequest, name: str, how: str) -> str:
    if name == "bare":
        return request.getfixturevalue("bare")
    site = request.getfixturevalue("site")
    return (
        f"{site}/book/{name}.html"
        if how == "http"
        else (HTML / f"{name}.html").as_uri()
    )


def drawn(widget: Locator) -> dict[str, Any]:
    return json.loads(widget.get_attribute("data-drawn") or "")


def picture(widget: Locator) -> str:
    return widget.locator(".panels").inner_html()


def real(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def noisy_gate(values: dict[str, float]) -> dict[str, Any]:
    alpha, tau, epsilon = (values[k] for k in ("alpha", "tau", "epsilon"))
    lines = {"open": gumbel.open_bounds, "shut": gumbel.shut_bounds}
    found = {k: bounds(real(alpha), tau, epsilon) for k, bounds in lines.items()}
    bounds = {
        k: [float(b.lower), float(b.exact), float(b.upper)] for k, b in found.items()
    }
    return bounds | {"atom": float((real(alpha) / tau).sigmoid())}


def refine_band(values: dict[str, float]) -> dict[str, Any]:
    f, r = real(values["f"]), real(values["r"])
    low, high = refine.band(f)
    g = low + r * (high - low)
    norm = refine.gradient_norm(f, r)
    found = {"g": g, "period": 1 / (1 - f), "refined": 1 / (1 - g), "gradient": norm}
    found |= {"slope": g * (1 - g), "ratio": norm / (g * (1 - g))}
    lists = {"band": [low, high], "reach": [1 / (1 - low), 1 / (1 - high)]}
    return {k: float(v) for k, v in found.items()} | {
        k: [float(v) for v in pair] for k, pair in lists.items()
    }


def shares(values: dict[str, float]) -> dict[str, Any]:
    x, units = real(values["x"]), int(values["units"])
    found = {
        "constant": timescales.constant(x, values["bias"]),
        "chrono": timescales.chrono(x, values["t_max"]),
        "uniform": timescales.uniform(x, units),
        "cumax": timescales.cumax(x, units),
    }
    return {name: float(share) for name, share in found.items()}


def detach_paths(values: dict[str, float]) -> dict[str, Any]:
    steps, p = int(values["steps"]), values["p"]
    law = detach.visit_law(steps, p).tolist()
    return {"expected": detach.expected_paths(steps, p), "law": law}


def horizon(values: dict[str, Any]) -> dict[str, Any]:
    models = {name: laws.LAWS[name] for name in values["models"]}
    length = real(values["horizon"])
    return {"shares": {name: float(m.served(length)) for name, m in models.items()}}


def gate_words(values: dict[str, int]) -> dict[str, Any]:
    stored = stored_sentences()
    one = stored["sentences"][values["sentence"] - 1]
    name = f"{('forget', 'input')[values['gate'] - 1]} {values['layer']}"
    alignment = ("read", "predicted")[values["word"] - 1]
    classes = np.array(one["classes"])
    kept = (np.arange(len(classes)) > 0) & (classes != "final mark")
    chosen = np.isin(classes[kept], inside.BOUNDARY)
    gates, auc = [], []
    for model in ("LSTM0", "G2"):
        texts = one["gates"][model][name]
        length = len(texts["mean"])
        first = (values["unit"] - 1) * length
        text = texts["units"][first:][:length] if values["unit"] else texts["mean"]
        steps = torch.tensor([DIGITS.index(c) / 63 for c in text], dtype=torch.float64)
        words = inside.over_words(steps[:, None], one["word_of"], alignment)[:, 0]
        gates.append(words.tolist())
        found = inside.auc_within(
            words.numpy()[kept], chosen, np.zeros(kept.sum(), int)
        )
        auc += found.tolist()
    return {"auc": auc} | {f"gates {k}": g for k, g in enumerate(gates)}


def pixel_order(values: dict[str, int]) -> dict[str, Any]:
    made = widgets.PixelOrder()
    shades = [*digits(), np.zeros(784, int)][values["digit"]]
    orders = (np.arange(784), bit_reversal(784), made.drawn_order())
    first = max(0, values["step"] - 196)
    read = [shades[order[first : values["step"]]].sum() for order in orders]
    return {"shares": [float(ink / max(1, shades.sum())) for ink in read]}


def rank_cost(values: dict[str, int]) -> dict[str, Any]:
    costs = [np.array(all_of) for all_of in stored_costs().values()]
    chosen = [(found[values["place"] - 1], found[-1]) for found in costs]
    perplexities = [float(np.median(cut)) for cut, _ in chosen]
    rises = [float(np.median(cut / whole - 1)) for cut, whole in chosen]
    return {"perplexities": perplexities, "rises": rises}


def unit_memory(values: dict[str, float]) -> dict[str, Any]:
    bias, steps = real(values["bias"]), int(values["steps"])
    found = {
        "left": gate.share_left(bias, steps),
        "gradient": gate.gradient(bias, steps),
        "decay": -1 / bias.sigmoid().log(),
        "period": 1 / (1 - bias.sigmoid()),
        "largest": gate.largest_gradient(steps)[1],
    }
    return {name: float(value) for name, value in found.items()}


WANTED = {
    "GateWords": gate_words,
    "Horizon": horizon,
    "NoisyGate": noisy_gate,
    "PixelOrder": pixel_order,
    "RankCost": rank_cost,
    "RefineBand": refine_band,
    "Timescales": shares,
    "UnitMemory": unit_memory,
    "DetachPaths": detach_paths,
}


def check(widget: Locator) -> None:
    """The picture shows what the library computes from the sliders' values."""
    found = drawn(widget)
    found |= {f"gates {k}": g for k, g in enumerate(found.get("gates", []))}
    wanted = WANTED[widget.get_attribute("data-widget") or ""](found["values"])
    for name, value in wanted.items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-9), name


def drag(page: Page, slider: Locator, share: float) -> None:
    """Take the slider at its middle and let go at a share of its length."""
    slider.scroll_into_view_if_needed()
    box = slider.bounding_box()
    assert box
    y = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, y)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * share, y, steps=4)
    page.mouse.up()


def test_every_widget_is_tried():
    assert {kind.__name__ for kind in ALL} == WANTED.keys()


@pytest.mark.parametrize(("name", "how"), PLACES)
def test_each_slider_moves_the_picture_by_mouse_and_by_keyboard(show, name, how):
    opened = show(name, how)
    tried = {w.get_attribute("data-widget"): w for w in shown_on(opened.page)}
    for widget in tried.values():
        for slider in widget.locator("input[type=range]").all():
            by_mouse(opened.page, widget, slider)
            by_keyboard(widget, slider)
    broken = [e for e in opened.errors if not e.startswith("widget: Error")]
    assert broken == []
    assert name == "bare" or opened.errors == []
    assert len(opened.hosts()) == 1
    assert not any(a.startswith("http") for a in opened.asked) or how == "http"


def shown_on(page: Page) -> list[Locator]:
    found = page.locator(".gatebook-widget").all()
    assert found
    return found


def by_mouse(page: Page, widget: Locator, slider: Locator) -> None:
    trait = slider.get_attribute("name")
    seen = []
    for share in (0.2, 0.8):
        drag(page, slider, share)
        seen.append((drawn(widget)["values"][trait], picture(widget)))
        check(widget)
    (low, first), (high, second) = seen
    assert low < high and first != second, trait


def by_keyboard(widget: Locator, slider: Locator) -> None:
    trait = slider.get_attribute("name")
    kind = getattr(widgets, widget.get_attribute("data-widget"))
    ends = kind.ranges()[trait]
    for key, end in (("End", "high"), ("Home", "low")):
        slider.press(key)
        assert drawn(widget)["values"][trait] == ends[end]
        assert slider.get_attribute("aria-valuetext") == shown(widget, slider)
        check(widget)
    before = ends["low"], picture(widget)
    for _ in range(80):
        slider.press("ArrowRight")
        now = drawn(widget)["values"][trait], picture(widget)
        if now[0] > before[0] and now[1] != before[1]:
            return
    raise AssertionError(f"the keys do not move {trait}")


@pytest.mark.parametrize("width", [390, 1280])
def test_sliders_are_wide_high_and_say_their_ends(show, width):
    page = show("bare", "file", width=width).page
    for slider in page.locator(".slider").all():
        box = slider.locator("input").bounding_box()
        short = "short" in (slider.get_attribute("class") or "")
        assert box and box["height"] >= 32
        assert box["width"] >= (165 if short else min(560, width - 32))
        marks = [mark.bounding_box() for mark in slider.locator(".ticks span").all()]
        assert all(
            first["x"] + first["width"] < second["x"] + 1
            for first, second in pairwise(marks)
        )
        assert marks[0]["x"] >= box["x"] - 1
        assert marks[-1]["x"] + marks[-1]["width"] <= box["x"] + box["width"] + 1


# NoisyGate has its second halo where some gates have no noise; the unit of UnitMemory
# remembers too little at first to be dragged to the left.
FIRST = {"NoisyGate": "p", "UnitMemory": "bias"}
HALOS = {
    "RefineBand": 2,
    "Timescales": 1,
    "NoisyGate": 2,
    "Horizon": 1,
    "UnitMemory": 3,
}


@pytest.mark.parametrize("name", HALOS)
def test_what_has_a_halo_can_be_dragged_and_reset_leads_back(show, name):
    page = show("bare", "file").page
    widget = page.locator(f"[data-widget={name}]").first
    if name in FIRST:
        drag(page, widget.locator(f"input[name={FIRST[name]}]"), 0.6)
    halos = widget.locator(".grip")
    assert halos.count() == HALOS[name]
    for halo in halos.all():
        before = drawn(widget)["values"]
        halo.scroll_into_view_if_needed()
        x, y = middle(halo)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 30, y + 10, steps=3)
        page.mouse.up()
        assert drawn(widget)["values"] != before
        check(widget)
        moved = middle(halo)
        assert moved[0] == pytest.approx(x - 30, abs=4), "the halo follows the hand"
        page.mouse.move(x, y)  # and stays where it was let go
        assert middle(halo) == moved
    widget.get_by_role("button", name="Reset").press("Enter")
    made = getattr(widgets, name)()
    assert drawn(widget)["values"] == {
        key: getattr(made, key) for key in (*made.ranges(), *made.choices())
    }


def middle(shown: Locator) -> tuple[float, float]:
    box = shown.bounding_box()
    assert box
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_a_reader_draws_a_digit_of_their_own(show):
    page = show("bare", "file").page
    widget = page.locator("[data-widget=PixelOrder]")
    widget.get_by_role("button", name="Blank sheet").click()
    assert drawn(widget)["values"]["digit"] == 10 and drawn(widget)["shares"] == [0] * 3
    paper = widget.locator(".pen")
    paper.scroll_into_view_if_needed()
    box = paper.bounding_box()
    assert box
    low = box["y"] + 0.9 * box["height"]  # a line that only the last rows have
    page.mouse.move(box["x"] + 0.2 * box["width"], low)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], low, steps=30)
    page.mouse.up()
    rows, backwards, once = drawn(widget)["shares"]
    assert rows == 1 and 0 < backwards < 0.6 and 0 < once < 0.6
    widget.get_by_role("button", name="Reset").click()
    check(widget)


def test_a_dragged_line_rests_at_the_stored_ranks(show):
    page = show("bare", "file").page
    widget = page.locator("[data-widget=RankCost]")
    halo = widget.locator(".grip")
    halo.scroll_into_view_if_needed()
    for place in (4, 3):
        x, y = middle(halo)
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x - 80, y, steps=3)
        page.mouse.up()
        assert drawn(widget)["values"] == {"place": place}
        check(widget)


def test_a_dragged_point_is_where_the_hand_is(show):
    page = show("bare", "file").page
    widget = page.locator("[data-widget=RefineBand]").first
    halo = widget.locator(".grip").first
    halo.scroll_into_view_if_needed()
    x, y = middle(halo)
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 60, y + 40, steps=3)
    page.mouse.up()
    assert middle(halo) == pytest.approx((x - 60, y + 40), abs=2)
    widget.locator("input[name=r]").press("End")  # the keys go on from there
    assert drawn(widget)["values"]["r"] == 1


def test_boxes_decide_which_models_are_shown(show):
    page = show("bare", "file").page
    widget = page.locator("[data-widget=Horizon]")
    before = drawn(widget)["values"]["models"]
    assert before == widgets.Horizon().models
    for name in before:
        widget.locator(f"input[name='{name}']").uncheck()
    assert drawn(widget)["shares"] == {}
    assert widget.locator(".words").inner_text() == "No model is chosen."
    widget.locator("input[name=GLA]").press("Space")
    assert drawn(widget)["values"]["models"] == ["GLA"]
    check(widget)
    names = widget.locator("g[visibility=visible] > .start").all_text_contents()
    assert names == ["GLA"]


def shown(widget: Locator, slider: Locator) -> str:
    return slider.locator("xpath=../*[@class='value']").inner_text()


@pytest.mark.parametrize(("name", "how"), PLACES[:1] + PLACES[1::2])
def test_a_phone_shows_the_widgets_without_scrolling_and_legibly(show, name, how):
    page = show(name, how, width=390).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.evaluate(
        """() => [...document.querySelectorAll(".gatebook-widget text")].map((text) =>
          parseFloat(getComputedStyle(text).fontSize) * text.getScreenCTM().a)
          .concat([...document.querySelectorAll("[role=rowheader], .words")].map(
            (word) => parseFloat(getComputedStyle(word).fontSize)))"""
    )
    assert sizes and min(sizes) > 11


def test_the_picture_has_a_name_and_the_result_is_said(show):
    page = show("bare", "file").page
    for widget in page.locator(".gatebook-widget").all():
        assert widget.get_attribute("aria-label")
        for image in widget.locator("svg").all():
            assert image.get_attribute("role") == "img"
            assert len(image.locator("title").text_content()) > 20
        for slider in widget.locator("input").all():
            label = widget.locator(f"label[for={slider.get_attribute('id')}]")
            assert label.inner_text().strip()
        assert len(widget.locator("[aria-live=polite]").inner_text()) > 20
    names = page.locator("input").evaluate_all("all => all.map((i) => i.id)")
    assert len(set(names)) == len(names)


def test_views_of_one_model_move_together_and_others_stay(show):
    page = show("bare", "file").page
    views = page.locator("[data-model=RefineBand] .gatebook-widget")
    other = page.locator("[data-model=another] .gatebook-widget")
    assert views.count() == 2 and other.count() == 1
    views.first.locator("input[name=f]").press("Home")
    assert [drawn(widget)["values"]["f"] for widget in views.all()] == [0.01, 0.01]
    assert views.last.locator("input[name=f]").input_value() == "0"
    assert drawn(other)["values"]["f"] == 0.5


def test_the_samples_in_the_picture_are_those_of_the_seed(show):
    page = show("bare", "file").page
    gate = page.locator("[data-widget=NoisyGate]")
    drag(page, gate.locator("input[name=p]"), 0.4)
    found = drawn(gate)
    alpha, tau, p = (found["values"][name] for name in ("alpha", "tau", "p"))
    u, v = torch.as_tensor(widgets.NoisyGate().draws())
    gates = ((alpha + u.logit()) / tau).sigmoid()[v < p]
    heights = torch.histc(gates, 20, 0, 1) * 20 / len(u)
    assert 0 < p < 1 and found["heights"] == pytest.approx(heights.tolist())

    paths = page.locator("[data-widget=DetachPaths]")
    first = drawn(paths)["cut"]
    for seed in (0, 1, 2):
        made = widgets.DetachPaths(seed=seed)
        found = drawn(paths)
        cut = [t for t, u in enumerate(made.draws(), start=2) if u < made.p]
        assert found["cut"] == cut
        assert found["survivors"] == 2 ** (made.steps - 1 - len(cut))
        paths.get_by_role("button", name="Redraw").click()
    paths.get_by_role("button", name="Reset").click()
    assert drawn(paths)["cut"] == first


def test_a_move_sets_attributes_and_texts_and_builds_nothing(show):
    page = show("bare", "file").page
    for widget in shown_on(page):
        changes = widget.evaluate(
            """async (root) => {
              const seen = [];
              const watcher = new MutationObserver((some) => seen.push(...some));
              const all = { subtree: true, childList: true, attributes: true };
              watcher.observe(root, all);
              for (const slider of root.querySelectorAll("input[type=range]")) {
                slider.value = slider.value === slider.min ? slider.max : slider.min;
                slider.dispatchEvent(new Event("input"));
              }
              root.querySelectorAll("input[type=checkbox]").forEach((b) => b.click());
              await new Promise((done) => setTimeout(done));
              return seen.map((change) => change.type);
            }"""
        )
        assert set(changes) == {"attributes"}


@pytest.mark.parametrize("kind", ALL)
def test_a_view_that_goes_leaves_no_listener(browser, kind):
    page = browser.new_page()
    state = kind().get_state()
    left = page.evaluate(
        """async ({ source, state }) => {
          const blob = new Blob([source], { type: "text/javascript" });
          const { default: made } = await import(URL.createObjectURL(blob));
          const listeners = new Map();
          const model = {
            get: (name) => state[name],
            on: (name, f) => listeners.set(name, f),
            off: (name, f) => listeners.get(name) === f && listeners.delete(name),
          };
          const leave = made.render({ model, el: document.body });
          const before = listeners.size;
          leave();
          return [before, listeners.size];
        }""",
        {"source": state["_esm"], "state": state},
    )
    assert left == [1, 0]
    page.close()


def test_a_widget_that_fails_leaves_the_others_alone(show):
    opened = show("bare", "file")
    assert opened.page.locator(".gatebook-widget").count() == len(ALL) + 2
    for name in ("broken", "missing"):
        assert (
            "could not be started"
            in opened.page.locator(f"[data-model={name}]").inner_text()
        )
    assert len(opened.errors) == 2


def test_a_bad_value_from_a_page_is_drawn_at_the_nearest_end(show, tmp_path, browser):
    """A saved state could hold anything."""
    gate = widgets.NoisyGate()
    loader = (ROOT / "book/_static/widgets.js").as_uri()
    for value, wanted in ((99, 2), (-1, 0.1), ("x", 0.1), (None, 0.1)):
        state = {"w": {"state": gate.get_state() | {"tau": value}}}
        file = tmp_path / "page.html"
        text = json.dumps({"state": state}).replace("</", "<\\/")
        file.write_text(BARE.format(views=view("w"), states=text, loader=loader))
        page = browser.new_page()
        page.goto(file.as_uri())
        page.wait_for_selector(".gatebook-widget")
        assert drawn(page.locator(".gatebook-widget"))["values"]["tau"] == wanted
        page.close()


@pytest.mark.parametrize("name", SHOWING)
def test_without_javascript_a_page_says_where_to_look(show, name):
    page = show(name, "file", java_script_enabled=False).page
    note = page.locator("article noscript p").first
    assert note.is_visible() and f"<p>{note.inner_text()}</p>" in NOTE


@pytest.mark.parametrize("name", SHOWING)
def test_a_page_has_its_widgets_and_little_foreign_script(show, name):
    opened = show(name, "http")
    count = find(name).file.read_text().count("from gatebook_book.widgets import")
    assert opened.page.locator(".gatebook-widget").count() >= count
    scripts = [a for a in opened.asked if urlparse(a).path.endswith(".js")]
    assert not any("require" in a or "html-manager" in a for a in scripts)
    sizes = [opened.page.request.get(a).headers["content-length"] for a in scripts]
    assert sum(map(int, sizes)) < 2_000_000


def test_the_playground_weighs_little(show):
    opened = show("playground", "http")
    sent = [a for a in opened.asked if a.startswith("http")]
    sizes = [opened.page.request.get(a).headers["content-length"] for a in sent]
    assert sum(map(int, sizes)) < 1_500_000
