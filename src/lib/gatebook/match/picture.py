"""Episodes to look at: whole rooms, where an agent sees its window alone."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8
from numpy import ndarray

from gatebook.match.players import Player
from gatebook.match.rooms import VIEW, Place
from gatebook.match.setting import Match
from gatebook.match.world import AGENT, PALETTE, Episodes
from gatebook.random import generator

PHASES = ("explore", "apples", "switches")


@dataclass(frozen=True)
class Frame:
    """One moment of an episode.

    Attributes:
        time: steps taken before it.
        phase: its name, of `PHASES`.
        room: (rows, columns, 3) red, green and blue of each cell.
        at: row and column of the agent.
        seen: (5, 5, 3) what the agent sees of it.
        reward: of the step that led to it.
    """

    time: int
    phase: str
    room: UInt8[ndarray, "R C 3"]
    at: Place
    seen: UInt8[ndarray, "5 5 3"]
    reward: float


def frame(episodes: Episodes, which: int = 0) -> Frame:
    """Episode number ``which`` of the batch, as it stands."""
    codes = episodes.board(which)
    row, column = np.divmod(int(episodes.at[which]), codes.shape[1])
    codes[row, column] = AGENT
    return Frame(
        time=episodes.time,
        phase=PHASES[episodes.phase],
        room=PALETTE[codes[VIEW:-VIEW, VIEW:-VIEW]],
        at=(int(row) - VIEW, int(column) - VIEW),
        seen=episodes.pixels()[which],
        reward=float(episodes.last_reward[which]),
    )


def film(match: Match, player: Player, seed: int = 0) -> list[Frame]:
    """One episode, a frame for each step and one for its end.

    Example:
        >>> from gatebook.match import perfect
        >>> frames = film(Match(), perfect)
        >>> len(frames), frames[0].phase, frames[-1].phase
        (30, 'explore', 'switches')
    """
    episodes, g = Episodes(match, 1, seed, "film"), generator(seed, "film", "actions")
    frames = [frame(episodes)]
    while not episodes.done:
        episodes.step(player(episodes, g))
        frames.append(frame(episodes))
    return frames


def enlarged(
    pixels: UInt8[ndarray, "R C 3"], cell: int = 16
) -> UInt8[ndarray, "rows columns 3"]:
    """Each pixel as a square of ``cell`` × ``cell``."""
    return pixels.repeat(cell, axis=0).repeat(cell, axis=1)
