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
