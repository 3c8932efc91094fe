"""Train a model on a task: the plan, the loop, checkpoints that resume exactly."""

from gatebook.training.loop import (
    History,
    Job,
    Plan,
    SequenceModel,
    Until,
    build,
    evaluate,
    fit,
    fit_together,
)

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
