"""How to train: steps, rate, clipping, evaluation, and when a run ends."""

from dataclasses import dataclass, field

from gatebook.errors import check_count, check_positive, check_probability
from gatebook.training.history import History


@dataclass(frozen=True)
class Plan:
    """How to train: Adam, a clipped gradient, evaluation at regular steps.

    Arguments:
        steps: gradient steps.
        learning_rate: Adam's.
        clip: largest gradient norm; ``None`` leaves it as it is.
        evaluate_every: steps between evaluations.
        anneal: share of the run's end without detaching (P3's code: the last 39
            of 600 epochs, so 0.065; its report does not mention it). After the run
            the model detaches as before.
    """

    steps: int
    learning_rate: float = 1e-3
    clip: float | None = 1.0
    evaluate_every: int = 100
    anneal: float = 0.0

    def __post_init__(self):
        check_count("steps", self.steps)
        check_count("evaluate_every", self.evaluate_every)
        check_positive("learning_rate", self.learning_rate)
        check_probability("anneal", self.anneal)
        if self.clip is not None:
            check_positive("clip", self.clip)

    def done(self, history: History) -> bool:
        """Whether the run has come to its end."""
        return history.step >= self.steps


@dataclass(frozen=True)
class Until(Plan):
    """A plan that ends when the validation loss is low enough, or at ``steps``.

    The loss is known at evaluations only, so that a run may go on for up to
    ``evaluate_every`` steps after it has reached the goal.

    Arguments:
        goal: the run ends at an evaluation with a loss at or below this value.

    Example:
        >>> plan = Until(1000, goal=0.1)
        >>> plan.done(History({"loss": [2.0, 0.09]}, step=200))
        True
    """

    goal: float = field(kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        check_positive("goal", self.goal)

    def done(self, history: History) -> bool:
        """Whether the goal or the last step was reached."""
        return super().done(history) or history.last("loss") <= self.goal
