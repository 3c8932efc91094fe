"""What decides an episode of Image Match: the rooms, the lengths, the rewards."""

from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

from gatebook.errors import (
    check_choice,
    check_count,
    check_flag,
    check_integer,
    check_not_negative,
)
from gatebook.match import rooms
from gatebook.match.rooms import Rooms, places

MODES = ("passive", "active")
COUNTS = ("explore", "delay", "choose", "colours", "apples", "respawn")
COLOURS = ("red", "green", "blue", "yellow", "magenta", "cyan")
"""The cue's colours; with three of them, those of the published grid."""


@dataclass(frozen=True)
class Match:
    """Three phases: see a colour, pick apples, press the switch of that colour.

    Every episode has the same length, explore + delay + choose steps. The score is the
    reward of the last phase alone. The defaults are the reduced size, at which two CPU
    cores train an agent; `Match.published` has the lengths and layouts of the grid
    world that Hung et al. (2018) published.

    Arguments:
        mode: ``"passive"`` shows the cue from the start, ``"active"`` hides it in
            another room.
        explore: E, steps of the first phase, at least 1.
        delay: D, steps among the apples; 0 leaves that phase out.
        choose: C, steps of the last phase, at least 1.
        colours: how many there are; each episode draws as many as there are switches.
        right: reward for the switch of the cue's colour.
        wrong: reward for another.
        apple: reward for an apple, or two of which each episode draws one.
        apples: how many lie in the room at first.
        respawn: an eaten apple is back after more than this many steps.
        shuffled: whether each episode deals the colours to the switches afresh.
        layout: the rooms; by default the reduced ones of the mode.

    Raises:
        ValueError: for a value that is not allowed, or rooms too small for it.

    Example:
        >>> Match("passive").length
        29
    """

    mode: str = "passive"
    explore: int = 5
    delay: int = 20
    choose: int = 4
    colours: int = 4
    right: float = 10.0
    wrong: float = 1.0
    apple: float | tuple[float, float] = 0.0
    apples: int = 10
    respawn: int = 20
    shuffled: bool = True
    layout: Rooms | None = None

    def __post_init__(self):
        check_choice("mode", self.mode, MODES)
        for name, least in (("explore", 1), ("delay", 0), ("choose", 1)):
            check_count(name, getattr(self, name), least)
        for name in ("apples", "respawn"):
            check_count(name, getattr(self, name), least=0)
        check_integer("colours", self.colours)
        for name in COUNTS:  # a comparison with NumPy's integers adds up as a truth
            object.__setattr__(self, name, int(getattr(self, name)))
        for value in self.apple if isinstance(self.apple, tuple) else (self.apple,):
            check_not_negative("apple", value)
        check_not_negative("right", self.right)
        check_not_negative("wrong", self.wrong)
        check_flag("shuffled", self.shuffled)
        self._check_colours()
        self._check_apples()

    @classmethod
    def published(cls, mode: str = "active", **options: Any) -> "Match":
        """Layouts and lengths of the published grid world.

        15, 90 and 15 steps; three switches, none in view from the start; the cue is one
        cell; 10 for the right switch and nothing for another; an apple gives 1 or 10,
        by a fair coin for each episode. One deal of the colours holds there for the
        life of an environment; here each episode deals afresh.

        Arguments:
            mode: as for `Match`.
            options: other arguments of `Match`, which override these.
        """
        check_choice("mode", mode, MODES)
        explore = {
            "passive": rooms.PUBLISHED_PASSIVE,
            "active": rooms.PUBLISHED_ACTIVE,
        }[mode]
        layout = Rooms(explore, switches=rooms.PUBLISHED_SWITCHES)
        lengths = {"explore": 15, "delay": 90, "choose": 15}
        rest = {"colours": 3, "wrong": 0.0, "apple": (1.0, 10.0), "layout": layout}
        return cls(mode, **{**lengths, **rest, **options})

    @cached_property
    def rooms(self) -> Rooms:
        """The rooms that are played in."""
        reduced = {"passive": rooms.PASSIVE, "active": rooms.ACTIVE}
        return self.layout or Rooms(reduced[self.mode])

    @property
    def length(self) -> int:
        """T, the steps of an episode."""
        return self.explore + self.delay + self.choose

    @cached_property
    def switches(self) -> int:
        """S, how many switches there are."""
        return len(places(self.rooms.switches, "s"))

    def describe(self) -> dict[str, object]:
        """Everything that decides an episode but its seed, as JSON has it."""
        own = asdict(self) | {"layout": asdict(self.rooms), "task": "match"}
        own["layout"] = {name: "/".join(room) for name, room in own["layout"].items()}
        own["apple"] = list(self.apple) if isinstance(self.apple, tuple) else self.apple
        return own

    def _check_colours(self) -> None:
        if not 2 <= self.colours <= len(COLOURS):
            raise ValueError(
                f"colours is {self.colours}; allowed: from 2 to {len(COLOURS)}"
            )
        if self.colours < self.switches:
            raise ValueError(
                f"colours is {self.colours}, but switches has {self.switches} of 's'; "
                "allowed: at least one colour for each"
            )

    def _check_apples(self) -> None:
        room = len(places(self.rooms.apples, "a"))
        if self.apples > room:
            raise ValueError(
                f"apples is {self.apples}, but the room has {room} places for them; "
                "allowed: at most as many"
            )
