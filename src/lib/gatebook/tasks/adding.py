"""The adding task of P2 §3.1: add the two marked numbers of a long sequence."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from gatebook.errors import check_count, check_integer
from gatebook.random import generator, integers, uniform


@dataclass(frozen=True)
class Adding:
    """Numbers from U[0, 1] and two marks, one in each half; the target is their sum.

    A model that always answers 1 has a mean squared error of 1/6.

    Arguments:
        length: N, the sequence's length in steps (at least 2).
        batch_size: sequences per batch.
        seed: decides all batches.
        validation_size: sequences that scores are taken on.
    """

    length: int
    batch_size: int = 32
    seed: int = 0
    validation_size: int = 256

    input_size = 2
    output_size = 1
    steps_read = 1

    def __post_init__(self):
        check_integer("seed", self.seed)
        check_count("length", self.length, least=2)
        check_count("batch_size", self.batch_size)
        check_count("validation_size", self.validation_size)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Input (N, B, 2): number and mark; target (1, B)."""
        check_integer("step", step)
        return self._make(self.batch_size, "train", step)

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """One batch that training never drew."""
        return [self._make(self.validation_size, "validation")]

    def _make(self, batch: int, *name: object) -> tuple[Tensor, Tensor]:
        g = generator("adding", self.seed, *name)
        numbers = uniform(g, self.length, batch)
        half = self.length // 2
        first = integers(g, 0, half, batch)
        second = integers(g, half, self.length, batch)
        marks = torch.zeros_like(numbers)
        columns = torch.arange(batch, device=g.device)
        marks[first, columns] = 1.0
        marks[second, columns] = 1.0
        return torch.stack([numbers, marks], -1), (numbers * marks).sum(0)[None]

    def loss(
        self, prediction: Float[Tensor, "1 B 1"], target: Float[Tensor, "1 B"]
    ) -> Float[Tensor, ""]:
        """Mean squared error."""
        return F.mse_loss(prediction[..., 0], target)

    def scores(
        self, prediction: Float[Tensor, "1 B 1"], target: Float[Tensor, "1 B"]
    ) -> dict[str, float]:
        """Mean squared error on the validation sequences."""
        return {"loss": self.loss(prediction, target).item()}

    def baseline(self) -> float:
        """The error of always answering 1: twice the variance of U[0, 1]."""
        return 1 / 6

    def describe(self) -> dict[str, object]:
        """Everything that decides its numbers except the seed, and its source."""
        return {
            "task": "adding",
            "length": self.length,
            "batch_size": self.batch_size,
            "validation_size": self.validation_size,
            "data_source": "generated",
        }
