"""What every task offers to the training loop."""

from typing import Protocol, runtime_checkable

from torch import Tensor

Batch = tuple[Tensor, Tensor]
"""Input (T, B, features) and target."""


@runtime_checkable
class Task(Protocol):
    """Batches by step number, a loss, and the scores of a prediction.

    ``seed`` decides all batches.
    ``input_size`` and ``output_size`` are the widths that a model needs.
    ``steps_read`` is how many steps at the end of the sequence carry the loss.

    A task may have two things more. With ``padded = True`` its sequences differ in
    length and end in zero vectors, of which the first ``steps_read`` carry the loss.
    ``further_validation()`` gives more sets that scores are taken on, by name:
    the accuracy on ``"hardest"`` is then called ``hardest_accuracy``.
    """

    @property
    def seed(self) -> int: ...  # noqa: D102

    @property
    def input_size(self) -> int: ...  # noqa: D102

    @property
    def output_size(self) -> int: ...  # noqa: D102

    @property
    def steps_read(self) -> int: ...  # noqa: D102

    def batch(self, step: int) -> Batch:
        """The training batch of a step."""
        ...

    def validation(self) -> list[Batch]:
        """The fixed batches that scores are taken on."""
        ...

    def loss(self, prediction: Tensor, target: Tensor) -> Tensor:
        """A scalar; ``prediction`` is (steps_read, B, output_size)."""
        ...

    def scores(self, prediction: Tensor, target: Tensor) -> dict[str, float]:
        """Figures of merit of one batch, each a mean over its examples."""
        ...

    def describe(self) -> dict[str, object]:
        """Everything that decides the numbers except the seed, and the data's source.

        A stored run is found by it, so no folder's path may be in it.
        """
        ...


def validation_sets(task: Task) -> dict[str, list[Batch]]:
    """The sets that scores are taken on, by the prefix of their scores' names."""
    further: dict[str, list[Batch]] = getattr(task, "further_validation", dict)()
    return {"": task.validation()} | {f"{k}_": v for k, v in further.items()}
