"""Many episodes of Image Match in lock step, as arrays.

All episodes of a batch have the same length, so that they begin and end together:
nothing is reset in between, and no mask says which of them goes on. What is left to
chance is drawn before the first step, from a stream of its own for each purpose.

A board is an array of codes. The last action of a phase is answered by the first
picture of the next one, as in the published grid world.
"""

import functools
from collections.abc import Iterable

import numpy as np
import torch
from jaxtyping import Float32, Int64, UInt8
from numpy import ndarray

from gatebook.errors import check_count
from gatebook.match.rooms import MOVES, VIEW, Place, Room, board, corner, places
from gatebook.match.setting import Match
from gatebook.random import generator, integers, uniform

FLOOR, WALL, APPLE, AGENT, FIRST = range(5)
"""The codes of a board; FIRST + k is colour k, of a cue or a switch."""

PALETTE: UInt8[ndarray, "codes 3"] = np.array(
    [
        *[(204, 204, 204), (25, 25, 25), (140, 178, 0), (228, 148, 109)],
        *[(255, 0, 0), (0, 255, 0), (0, 0, 255)],
        *[(255, 255, 0), (255, 0, 255), (0, 255, 255)],
    ],
    dtype=np.uint8,
)
"""Red, green and blue of each code; floor, wall, apple and agent as published."""

SIDE = 2 * VIEW + 1
"""Cells in a row of what the agent sees."""
NEVER = np.iinfo(np.int64).max


class Episodes:
    """A batch of episodes of one setting, from its first picture to its last reward.

    Arguments:
        match: the setting.
        batch_size: B, how many episodes.
        seed: decides what is drawn.
        name: what else decides it: ``"train"`` and a number, for example.

    Attributes:
        time: steps taken so far.
        last_action: (B,) the last step's, -1 before the first.
        last_reward: (B,) its rewards.
        done: whether all of them are over.
        score: (B,) rewards of the last phase.
        apples: (B,) rewards of the second phase.
        seen: (B,) whether the cue was ever in view in the first phase.
        chosen: (B,) the place of the switch that was pressed, or -1.
        answer: (B,) the place of the switch that has the cue's colour.

    Raises:
        ValueError: for a batch of less than one; in `step`, for an action that there is
            not, or one after the end.

    Example:
        >>> episodes = Episodes(Match(), batch_size=3, seed=0)
        >>> reward = episodes.step(np.array([0, 1, 3]))
        >>> episodes.pixels().shape, episodes.time
        ((3, 5, 5, 3), 1)
    """

    def __init__(self, match: Match, batch_size: int, seed: int, *name: object):
        check_count("batch_size", batch_size)
        self.match, self.batch_size, self._name = match, batch_size, (seed, *name)
        self._plan = plan(match)
        self.rows = np.arange(batch_size)
        self._base = self.rows * self._plan.cells
        self.time = 0
        self.last_action, self.last_reward = np.full(batch_size, -1), self._nothing()
        self.score, self.apples = self._nothing(), self._nothing()
        self.seen = np.zeros(batch_size, bool)
        self.chosen = np.full(batch_size, -1)
        self._deal()
        self._enter(0)

    # -- before the first step -----------------------------------------------

    def _deal(self) -> None:
        """Draw all that is left to chance."""
        match, plan, count = self.match, self._plan, self.batch_size
        dealt = np.tile(np.arange(match.switches), (count, 1))
        if match.shuffled:
            dealt = self._order("colours", match.colours)[:, : match.switches]
        self.dealt: Int64[ndarray, "B S"] = dealt
        self.answer = self._one_of("cue", match.switches)
        self.cue = dealt[self.rows, self.answer]
        self.shown = self._one_of("place", max(len(plan.hidden), 1))
        self._starts = [
            starts[self._one_of(f"start {k}", len(starts))]
            for k, starts in enumerate(plan.starts)
        ]
        self._lying = self._order("apples", len(plan.apples))[:, : match.apples]
        rewards = np.array(match.apple, np.float32, ndmin=1)
        self._apple = rewards[self._one_of("reward", len(rewards))]
        self._back = np.full((count, len(plan.apples)), NEVER)

    def _one_of(self, purpose: str, count: int) -> Int64[ndarray, " B"]:
        """A number below ``count`` for each episode."""
        g = generator("match", *self._name, purpose)
        return integers(g, 0, count, self.batch_size).numpy()

    def _order(self, purpose: str, count: int) -> Int64[ndarray, "B count"]:
        """A permutation for each episode."""
        g = generator("match", *self._name, purpose)
        numbers = uniform(g, self.batch_size, count, dtype=torch.float64)
        return numbers.argsort(1).numpy()

    # -- phases --------------------------------------------------------------

    @property
    def done(self) -> bool:
        """Whether the episodes are over."""
        return self.time >= self.match.length

    @property
    def phase(self) -> int:
        """0, 1 or 2; after the last step, 2."""
        match = self.match
        return (self.time >= match.explore) + (self.time >= match.explore + match.delay)

    def _enter(self, phase: int) -> None:
        """Set up the board of a phase, everybody at the start."""
        plan = self._plan
        self._flat = np.tile(plan.boards[phase], self.batch_size)
        if phase == 0:
            self._put(plan.cues, FIRST + self.cue[:, None])
            if len(plan.hidden):
                self._put(plan.hidden[self.shown][:, None], FIRST + self.cue[:, None])
        elif phase == 1:
            self._put(plan.apples[self._lying], APPLE)
        else:
            self._put(plan.switches, FIRST + self.dealt)
        self.at = self._starts[phase]
        self._look()

    def _put(self, where: Int64[ndarray, "*B K"], codes: ndarray | int) -> None:
        self._flat[self._base[:, None] + where] = codes

    def _look(self) -> None:
        around = (self._base + self.at)[:, None] + self._plan.window
        self.window: UInt8[ndarray, "B 25"] = self._flat.take(around)
        if self.phase == 0:
            self.seen |= (self.window >= FIRST).any(1)
        self.window[:, SIDE * SIDE // 2] = AGENT

    def pixels(self) -> UInt8[ndarray, "B 5 5 3"]:
        """What the agents see: the cells around them, in red, green and blue."""
        return PALETTE.take(self.window.reshape(-1, SIDE, SIDE), axis=0)

    def board(self, which: int) -> UInt8[ndarray, "rows columns"]:
        """The codes of one episode's room as it is now, with its margin; a copy."""
        first = which * self._plan.cells
        cells = self._flat[first : first + self._plan.cells]
        return cells.reshape(self._plan.shape).copy()

    # -- a step --------------------------------------------------------------

    def step(self, actions: ndarray) -> Float32[ndarray, " B"]:
        """Take one action in each episode; returns the rewards.

        Arguments:
            actions: 0 to 3 for north, south, west, east. A step into a wall
                leaves the agent in place.
        """
        actions = np.array(actions)  # its own: the caller may write on
        self._check(actions)
        self.last_action = actions
        phase, plan = self.phase, self._plan
        there = self.at + plan.moves.take(actions)
        codes = self._flat.take(self._base + there)
        self.at = np.where(plan.solid[phase].take(codes), self.at, there)
        self.time += 1
        self.last_reward = (self._nothing, self._eat, self._press)[phase]()
        if not self.done and self.phase != phase:
            self._enter(self.phase)
        else:
            self._look()
        return self.last_reward.copy()

    def _nothing(self) -> Float32[ndarray, " B"]:
        return np.zeros(self.batch_size, np.float32)

    def _under(self) -> UInt8[ndarray, " B"]:
        """The code of the cell that each agent stands on."""
        return self._flat.take(self._base + self.at)

    def _eat(self) -> Float32[ndarray, " B"]:
        """Take the apples where somebody stands; those whose time has come are back."""
        plan, eaten = self._plan, self._under() == APPLE
        who = eaten.nonzero()[0]
        cells = self.at[who]
        self._flat[self._base[who] + cells] = FLOOR
        back = self.time + self.match.respawn + 1
        self._back[who, plan.apple_number.take(cells)] = back
        who, which = (self._back <= self.time).nonzero()
        self._flat[self._base[who] + plan.apples[which]] = APPLE
        self._back[who, which] = NEVER
        reward = eaten * self._apple
        self.apples += reward
        return reward

    def _press(self) -> Float32[ndarray, " B"]:
        """Reward those who stand on a switch; all of their switches are gone then."""
        plan, who = self._plan, (self._under() >= FIRST).nonzero()[0]
        self.chosen[who] = plan.switch_number.take(self.at[who])
        self._flat[self._base[who, None] + plan.switches] = FLOOR
        right = self.chosen[who] == self.answer[who]
        reward = self._nothing()
        reward[who] = np.where(right, self.match.right, self.match.wrong)
        self.score += reward
        return reward

    def _check(self, actions: ndarray) -> None:
        if self.done:
            raise ValueError(
                f"the episodes are over after {self.match.length} steps; allowed: new "
                "episodes"
            )
        if actions.shape != (self.batch_size,) or actions.dtype.kind not in "iu":
            raise ValueError(
                f"actions are {actions.dtype} of shape {actions.shape}; allowed: "
                f"integers of shape {(self.batch_size,)}"
            )
        if actions.min() < 0 or actions.max() >= len(MOVES):
            bad = actions[(actions < 0) | (actions >= len(MOVES))]
            raise ValueError(
                f"an action is {bad[0]}; allowed: from 0 to {len(MOVES) - 1}"
            )


@functools.lru_cache(maxsize=64)
def plan(match: Match) -> "Plan":
    """The rooms of a setting as arrays, made once."""
    return Plan(match)


class Plan:
    """The rooms of a setting as numbers of cells of one board.

    A board has a margin, so that a window never leaves it. Cells are counted row by
    row.
    """

    def __init__(self, match: Match):
        rooms = match.rooms
        self.inner = rooms.shape
        self.shape = (self.inner[0] + 2 * VIEW, self.inner[1] + 2 * VIEW)
        self.width, self.cells = self.shape[1], self.shape[0] * self.shape[1]
        self.rooms: tuple[Room, ...] = (rooms.explore, rooms.apples, rooms.switches)
        self.boards = [self._walls(room) for room in self.rooms]
        self.starts = [self._places(room, "+") for room in self.rooms]
        self.cues = self._places(rooms.explore, "c")
        self.hidden = self._places(rooms.explore, "p")
        self.apples = self._places(rooms.apples, "a")
        self.switches = self._places(rooms.switches, "s")
        self.apple_number = self._numbered(self.apples)
        self.switch_number = self._numbered(self.switches)
        reach = np.arange(-VIEW, VIEW + 1)
        self.window = (reach[:, None] * self.width + reach).ravel()
        self.moves = np.array([i * self.width + j for i, j in MOVES])
        self.solid = np.zeros((3, len(PALETTE)), bool)
        self.solid[:, WALL] = True
        self.solid[0, FIRST:] = True  # a cue stands in the way, a switch does not

    def numbers(self, room: Room, where: Iterable[Place]) -> Int64[ndarray, " K"]:
        """The cells of some places of a room."""
        top, left = (start + VIEW for start in corner(room, self.inner))
        cells = [(i + top) * self.width + j + left for i, j in where]
        return np.array(cells, np.int64)

    def _places(self, room: Room, characters: str) -> Int64[ndarray, " K"]:
        return self.numbers(room, places(room, characters))

    def _walls(self, room: Room) -> UInt8[ndarray, " cells"]:
        walls = np.isin(board(room, self.inner), ["#", "p"]) * WALL
        return np.pad(walls, VIEW).astype(np.uint8).ravel()

    def _numbered(self, cells: Int64[ndarray, " K"]) -> Int64[ndarray, " cells"]:
        """Which of these each cell is, or -1."""
        found = np.full(self.cells, -1)
        found[cells] = np.arange(len(cells))
        return found
