"""Players by rule: they check what `values` derives, and show an episode."""

import functools
from collections.abc import Callable, Iterable

import numpy as np
import torch
from jaxtyping import Int64
from numpy import ndarray

from gatebook.match.rooms import (
    MOVES,
    Place,
    Room,
    distances,
    free,
    neighbours,
    places,
    sees,
)
from gatebook.match.setting import Match
from gatebook.match.world import Episodes, plan
from gatebook.random import generator, integers

Player = Callable[[Episodes, torch.Generator], Int64[ndarray, " B"]]
"""Actions for episodes as they stand; draws its numbers from the generator."""


def play(match: Match, player: Player, count: int, seed: int = 0) -> Episodes:
    """Play episodes to their end.

    Arguments:
        match: the setting.
        player: chooses the actions.
        count: B, how many episodes.
        seed: of the episodes, and of the player's draws.

    Returns:
        the episodes, over, with what `Episodes` counts.

    Example:
        >>> float(play(Match(), perfect, 8).score.mean())
        10.0
    """
    episodes = Episodes(match, count, seed, "play")
    g = generator(seed, "play", "actions")
    while not episodes.done:
        episodes.step(player(episodes, g))
    return episodes


def uniform(episodes: Episodes, g: torch.Generator) -> Int64[ndarray, " B"]:
    """Each action with probability 1/4."""
    return integers(g, 0, len(MOVES), episodes.batch_size).numpy()


def searching(episodes: Episodes, g: torch.Generator) -> Int64[ndarray, " B"]:
    """Undirected search: uniform until the last phase, then the colour that it saw.

    If it has not seen the cue, it presses a switch that does not depend on it: the
    first one in the first episode, the second one in the second, and so on.
    """
    if episodes.phase < 2:
        return uniform(episodes, g)
    whichever = episodes.rows % episodes.match.switches
    return _to_switch(episodes, np.where(episodes.seen, episodes.answer, whichever))


def perfect(episodes: Episodes, g: torch.Generator) -> Int64[ndarray, " B"]:
    """Goes where the cue is in view, and to its switch in the last phase."""
    if episodes.phase == 2:
        return _to_switch(episodes, episodes.answer)
    if episodes.phase == 1:
        return uniform(episodes, g)
    ways = _ways_to_see(episodes.match)
    return ways[episodes.shown, episodes.at]


def _to_switch(episodes: Episodes, which: Int64[ndarray, " B"]) -> Int64[ndarray, " B"]:
    return _ways_to_switches(episodes.match)[which, episodes.at]


@functools.lru_cache(maxsize=16)
def _ways_to_switches(match: Match) -> Int64[ndarray, "S cells"]:
    """The way to each switch, which does not lead over another."""
    room = match.rooms.switches
    every = places(room, "s")
    others = [[place for place in every if place != goal] for goal in every]
    ways = [
        _way(match, room, distances(room, [goal], shut))
        for goal, shut in zip(every, others, strict=True)
    ]
    return np.stack(ways)


@functools.lru_cache(maxsize=16)
def _ways_to_see(match: Match) -> Int64[ndarray, "cues cells"]:
    """For each place of the cue, the way to where it is in view."""
    room = match.rooms.explore
    always = places(room, "c")
    cues = [[*always, place] for place in places(room, "p")] or [always]
    return np.stack(
        [_way(match, room, distances(room, _views(room, cue))) for cue in cues]
    )


def _views(room: Room, cue: Iterable[Place]) -> list[Place]:
    return [place for place in free(room) if any(sees(place, each) for each in cue)]


def _way(match: Match, room: Room, away: dict[Place, int]) -> Int64[ndarray, " cells"]:
    """The first action of a shortest way from each cell of a board.

    Arguments:
        match: has the room.
        room: in which somebody walks.
        away: how far each place is from the goal.
    """
    layout = plan(match)
    way = np.zeros(layout.cells, np.int64)
    beside = [[away.get(n, len(away)) for n in neighbours(place)] for place in away]
    way[layout.numbers(room, away)] = np.argmin(beside, axis=1)
    return way
