"""What players that do not learn are worth: the lines that a score is read against.

A player that takes each action with probability 1/4 is a Markov chain on a room's
cells: how likely it is to have pressed a switch, or to have seen the cue, follows
exactly.
"""

from collections.abc import Callable, Collection

from gatebook.match.rooms import Place, Room, free, neighbours, places, sees
from gatebook.match.setting import Match


def references(match: Match) -> dict[str, float]:
    """The score of four players.

    Returns:
        ``"uniform actions"``: each action with probability 1/4;
        ``"random choice"``: always some switch, none preferred;
        ``"undirected search"``: uniform actions in the first phase, then the right
        switch if the cue was seen, otherwise some switch;
        ``"solved"``: always the right one.

    Example:
        >>> found = references(Match())
        >>> found["random choice"], round(found["uniform actions"], 2)
        (3.25, 1.22)
    """
    choice = (match.right + (match.switches - 1) * match.wrong) / match.switches
    seen = seen_by_chance(match)
    return {
        "uniform actions": pressed_by_chance(match) * choice,
        "random choice": choice,
        "undirected search": seen * match.right + (1 - seen) * choice,
        "solved": match.right,
    }


def pressed_by_chance(match: Match) -> float:
    """How likely uniform actions lead onto a switch in the last phase."""
    room = match.rooms.switches
    goals = places(room, "s")
    return _reached(room, match.choose, goals.__contains__)


def seen_by_chance(match: Match) -> float:
    """How likely uniform actions bring the cue into view in the first phase.

    The picture after the phase's last action is already that of the next one.
    """
    room = match.rooms.explore
    always, hidden = places(room, "c"), places(room, "p")
    cues = [[*always, place] for place in hidden] or [always]
    return sum(_reached(room, match.explore - 1, _in_view(cue)) for cue in cues) / len(
        cues
    )


def _in_view(cue: Collection[Place]) -> Callable[[Place], bool]:
    return lambda place: any(sees(place, each) for each in cue)


def _reached(room: Room, steps: int, goal: Callable[[Place], bool]) -> float:
    """How likely a walk is to have met a goal, at its start or within some steps."""
    starts, walkable = places(room, "+"), set(free(room))
    chances = dict.fromkeys(starts, 1 / len(starts))
    for _ in range(steps):
        after = dict.fromkeys(walkable, 0.0)
        for place, chance in chances.items():
            for there in neighbours(place):
                stays = goal(place) or there not in walkable
                after[place if stays else there] += chance / 4
        chances = after
    return sum(chance for place, chance in chances.items() if goal(place))
