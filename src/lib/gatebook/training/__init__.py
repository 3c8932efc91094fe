"""Train a model on a task: the plan, the loop, checkpoints that resume exactly."""

from gatebook.training.history import History
from gatebook.training.loop import Job, evaluate, fit, fit_together
from gatebook.training.model import SequenceModel, build
from gatebook.training.plan import Plan, Until

__all__ = [
    "History",
    "Job",
    "Plan",
    "SequenceModel",
    "Until",
    "build",
    "evaluate",
    "fit",
    "fit_together",
]
