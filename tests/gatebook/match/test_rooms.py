"""Rooms and settings: what is too small, open or unknown is refused at once."""

import pytest
from gatebook.match import Match, Rooms
from gatebook.match.rooms import PASSIVE, distances

OPEN = ("#####", "#cc #", "#c+  ", "#ccc#", "#####")

BAD = [
    ({"explore": ()}, r"explore is \(\); allowed: rows of one length"),
    ({"explore": ("##", "#")}, "allowed: rows of one length"),
    ({"explore": ("###", "#x#", "###")}, "explore has 'x'; allowed: '#', '\\+', ' '"),
    ({"explore": ("####", "#c #", "####")}, "explore has 0 of '\\+'; allowed: 1"),
    ({"explore": ("####", "# +#", "####")}, "explore has 0 of 'c' or 'p'; allowed: 1"),
    ({"switches": ("####", "#s+#", "####")}, "switches has 1 of 's'; allowed: 2"),
    ({"explore": OPEN}, "explore can be left at row 2, column 4; allowed: walls"),
]


@pytest.mark.parametrize(("rooms", "message"), BAD)
def test_a_room_that_lacks_what_its_phase_needs_is_refused(rooms, message):
    with pytest.raises(ValueError, match=message):
        Rooms(**{"explore": PASSIVE} | rooms)


SETTINGS = [
    ({"mode": "activ"}, "unknown mode 'activ'; did you mean 'active'"),
    ({"explore": 0}, "explore is 0; allowed: an integer >= 1"),
    ({"delay": -1}, "delay is -1; allowed: an integer >= 0"),
    ({"choose": -4}, "choose is -4; allowed: an integer >= 1"),
    ({"colours": 1}, "colours is 1; allowed: from 2 to 6"),
    ({"colours": 3}, "colours is 3, but switches has 4 of 's'"),
    ({"apples": 23}, "apples is 23, but the room has 22 places"),
    ({"apple": -1.0}, "apple is -1.0; allowed: a finite number >= 0"),
    ({"apple": (1.0, -2.0)}, "apple is -2.0"),
    ({"wrong": float("nan")}, "wrong is nan"),
    ({"respawn": -1}, "respawn is -1"),
]


@pytest.mark.parametrize(("options", "message"), SETTINGS)
def test_a_setting_that_makes_no_episode_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Match(**options)


def test_the_published_setting_has_its_lengths_and_another_may_be_asked_for():
    match = Match.published("passive")
    assert (match.explore, match.delay, match.choose) == (15, 90, 15)
    assert match.switches == match.colours == 3
    assert Match.published("active", delay=30).length == 60
    with pytest.raises(ValueError, match="unknown mode 'both'"):
        Match.published("both")


def test_what_a_setting_says_of_itself_distinguishes_layouts():
    described = [
        Match("active", colours=4).describe(),
        Match("active", layout=Rooms(PASSIVE)).describe(),
        Match("active", apple=(1.0, 10.0)).describe(),
    ]
    assert len({str(sorted(map(str, d.items()))) for d in described}) == 3


def test_a_way_does_not_lead_through_what_is_shut():
    room = ("#####", "#+  #", "# # #", "#  s#", "#####")
    assert distances(room, [(3, 3)])[1, 1] == 4
    assert (1, 1) not in distances(room, [(3, 3)], shut=[(1, 2), (2, 1)])
