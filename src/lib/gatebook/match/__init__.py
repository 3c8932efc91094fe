"""Image Match: see a colour, pick apples, press the switch of that colour.

A world that responds to actions. It is not a `gatebook.tasks.Task`, whose batches are
fixed before a model sees them, and so has a folder of its own; `Labelled` turns it into
a task.

``rooms`` has the layouts, ``setting`` all that decides an episode, ``world`` the batch
of episodes that training steps through, ``values`` what players that do not learn are
worth, ``players`` some players by rule, ``features`` what a network gets, ``labels``
the task with the answer as a label, ``picture`` what to look at, ``gym`` the way to
Gymnasium.
"""

from gatebook.match.features import FEATURES, encode
from gatebook.match.labels import Labelled
from gatebook.match.players import perfect, play, searching, uniform
from gatebook.match.rooms import Rooms
from gatebook.match.setting import Match
from gatebook.match.values import references
from gatebook.match.world import Episodes

__all__ = [
    "FEATURES",
    "Episodes",
    "Labelled",
    "Match",
    "Rooms",
    "encode",
    "perfect",
    "play",
    "references",
    "searching",
    "uniform",
]
