"""The tasks: each gives batches by step number, a loss and the scores of a model.

A batch is a pure function of (seed, split, step). No stream is shared with the
model, so that every method sees the same data, and a run that stops goes on with
the batch it would have had.
"""

from gatebook.tasks.adding import Adding
from gatebook.tasks.base import Task
from gatebook.tasks.copy import Copy
from gatebook.tasks.parity import Parity
from gatebook.tasks.programs import Programs
from gatebook.tasks.recall import Recall
from gatebook.tasks.selective import SelectiveCopy

__all__ = ["Adding", "Copy", "Parity", "Programs", "Recall", "SelectiveCopy", "Task"]
