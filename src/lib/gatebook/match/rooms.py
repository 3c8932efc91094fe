"""The rooms of Image Match as text, and what is where in them.

=====  ===============================================================
``#``  a wall
``+``  a place to start from; one is drawn for each episode
``c``  shows the cue, always
``p``  may show the cue: one of them is drawn, the others are walls
``a``  may hold an apple; as many as `Match` says are drawn
``s``  a switch
space  floor
=====  ===============================================================

The layouts that are called *published* are those of the grid worlds of Hung et al.
(2018), ``deepmind-research/tvt/pycolab``: ``active_visual_match.py`` and ``common.py``;
the passive room is that of ``twni2016/Memory-RL``. The published papers themselves used
rooms in three dimensions.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

Room = tuple[str, ...]
"""The rows of a room, all of one length."""
Place = tuple[int, int]
"""Row and column, from 0."""

VIEW = 2
"""An agent sees this many cells each way: a window of 5 × 5."""
MOVES: tuple[Place, ...] = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""Actions 0 to 3: north, south, west, east."""
ACTIONS = ("north", "south", "west", "east")

PASSIVE: Room = (
    "#####",
    "#ccc#",
    "#c+c#",
    "#ccc#",
    "#####",
)
ACTIVE: Room = (
    "ccccccc",
    "c     c",
    "#     #",
    "##   ##",
    "#+++++#",
    "#+++++#",
    "#######",
)
APPLES: Room = (
    "###########",
    "#a a a a a#",
    "# a a a a #",
    "#a a a a a#",
    "# a a a a #",
    "#a a + a a#",
    "###########",
)
SWITCHES: Room = (
    "#######",
    "###s###",
    "##   ##",
    "#s + s#",
    "##   ##",
    "###s###",
    "#######",
)
PUBLISHED_PASSIVE: Room = (
    "           ",
    "    ppp    ",
    "    p+p    ",
    "    ppp    ",
    "           ",
)
PUBLISHED_ACTIVE: Room = (
    "  ppppppp  ",
    "  p     p  ",
    "  p     p  ",
    "  pp   pp  ",
    "  p+++++p  ",
    "  p+++++p  ",
    "  ppppppp  ",
)
PUBLISHED_SWITCHES: Room = (
    "###########",
    "# s  s  s #",
    "#         #",
    "#         #",
    "####   ####",
    "   # + #   ",
    "   #####   ",
)


@dataclass(frozen=True)
class Rooms:
    """The rooms of the three phases.

    Arguments:
        explore: where the cue is: starts, and ``c`` or ``p``.
        apples: one start or more, and places for apples.
        switches: one start or more, and two switches or more.

    Raises:
        ValueError: for rows of different lengths, an unknown character, a
            room without what its phase needs, or one that an agent could walk out of.
    """

    explore: Room
    apples: Room = APPLES
    switches: Room = SWITCHES

    def __post_init__(self):
        wanted = (("explore", "cp", 1), ("apples", "a", 0), ("switches", "s", 2))
        for name, own, least in wanted:
            room = tuple(getattr(self, name))  # a list has no hash
            object.__setattr__(self, name, room)
            _check_rows(name, room, f"#+ {own}")
            _check_holds(name, room, "+", 1)
            _check_holds(name, room, own, least)
            _check_shut(name, room)

    @property
    def shape(self) -> Place:
        """Rows and columns of a board that holds each of them."""
        rooms = (self.explore, self.apples, self.switches)
        return max(map(len, rooms)), max(len(room[0]) for room in rooms)


def places(room: Room, characters: str) -> list[Place]:
    """Where a room has one of these, row by row."""
    cells = ((i, j) for i, row in enumerate(room) for j in range(len(row)))
    return [(i, j) for i, j in cells if room[i][j] in characters]


def free(room: Room) -> list[Place]:
    """Where an agent can stand: neither wall nor cue."""
    return places(room, "+ as")


def neighbours(place: Place) -> Iterator[Place]:
    """The four places beside it, in the order of the actions."""
    return ((place[0] + i, place[1] + j) for i, j in MOVES)


def sees(place: Place, other: Place) -> bool:
    """Whether the window around one place has the other in it."""
    return max(abs(place[0] - other[0]), abs(place[1] - other[1])) <= VIEW


def distances(
    room: Room, goals: Iterable[Place], shut: Iterable[Place] = ()
) -> dict[Place, int]:
    """Steps to the nearest of some places, by breadth-first search.

    Arguments:
        room: in which somebody walks.
        goals: where to.
        shut: places that must not be walked onto.

    Returns:
        for each place from which one of ``goals`` can be reached, how many steps away.
    """
    walkable, found = set(free(room)) - set(shut), dict.fromkeys(goals, 0)
    border = list(found)
    while border:
        beyond = [(n, found[p] + 1) for p in border for n in neighbours(p)]
        new = {n: d for n, d in beyond if n in walkable and n not in found}
        found |= new
        border = list(new)
    return found


def corner(room: Room, shape: Place) -> Place:
    """Where a room begins on a board, in whose middle it lies."""
    return (shape[0] - len(room)) // 2, (shape[1] - len(room[0])) // 2


def board(room: Room, shape: Place) -> np.ndarray:
    """The room as an array of characters, with floor around it."""
    whole, (top, left) = np.full(shape, " "), corner(room, shape)
    for i, row in enumerate(room, top):
        whole[i, left : left + len(row)] = list(row)
    return whole


def _check_rows(name: str, room: Room, allowed: str) -> None:
    if not room or len({len(row) for row in room}) != 1:
        raise ValueError(f"{name} is {room!r}; allowed: rows of one length, at least 1")
    if unknown := sorted(set("".join(room)) - set(allowed)):
        raise ValueError(
            f"{name} has {unknown[0]!r}; allowed: {', '.join(map(repr, allowed))}"
        )


def _check_holds(name: str, room: Room, characters: str, least: int) -> None:
    found = len(places(room, characters))
    if found < least:
        words = " or ".join(map(repr, characters))
        raise ValueError(f"{name} has {found} of {words}; allowed: {least} or more")


def _check_shut(name: str, room: Room) -> None:
    """From no start may an agent get to the room's edge."""
    rows, columns = len(room), len(room[0])
    for i, j in distances(room, places(room, "+")):
        if i in (0, rows - 1) or j in (0, columns - 1):
            raise ValueError(
                f"{name} can be left at row {i}, column {j}; allowed: walls all round"
            )
