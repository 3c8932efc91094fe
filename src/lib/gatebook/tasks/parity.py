"""Parity: is the number of ones so far even or odd?

The smallest task that asks for a state rather than for a memory: one bit, changed by
each 1 and kept by each 0. A linear recurrence whose gates lie in [0, 1] cannot follow
it at every length (Grazzi et al. 2024, arXiv 2411.12537), an LSTM can.
"""

import math
from dataclasses import dataclass

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_count, check_integer
from gatebook.random import generator, integers


@dataclass(frozen=True)
class Parity:
    """Name the parity of all bits so far, at every step.

    The accuracy, here and on the ``"longer"`` sequences, is that of the last step.

    Arguments:
        length: N, the steps of a training sequence.
        longer: steps of the longer validation sequences, at least N.
        batch_size: sequences per batch.
        seed: decides all batches.
        validation_size: sequences that scores are taken on, in each of the two sets.

    Example:
        >>> x, target = Parity(length=4, longer=8, batch_size=3).batch(step=0)
        >>> x.shape, target.shape
        (torch.Size([4, 3, 2]), torch.Size([4, 3]))
    """

    length: int
    longer: int
    batch_size: int = 32
    seed: int = 0
    validation_size: int = 256

    input_size = 2
    output_size = 2

    def __post_init__(self):
        check_integer("seed", self.seed)
        for name in ("length", "batch_size", "validation_size"):
            check_count(name, getattr(self, name))
        check_count("longer", self.longer, least=self.length)

    @property
    def steps_read(self) -> int:
        """N: all of a training sequence, the end of a longer one."""
        return self.length

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Input (N, B, 2), one-hot bits; target (N, B), 1 where the ones are odd."""
        check_integer("step", step)
        return self._make(self.length, self.batch_size, "train", step)

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """One batch of N steps that training did not draw on purpose."""
        return [self._make(self.length, self.validation_size, "validation")]

    def further_validation(self) -> dict[str, list[tuple[Tensor, Tensor]]]:
        """Under ``"longer"`` one batch of longer sequences."""
        return {"longer": [self._make(self.longer, self.validation_size, "longer")]}

    def _make(self, steps: int, batch: int, *name: object) -> tuple[Tensor, Tensor]:
        g = generator("parity", self.seed, *name)
        bits = integers(g, 0, 2, steps, batch)
        odd = bits.cumsum(0) % 2
        return F.one_hot(bits, 2).float(), odd[-self.length :]

    def loss(
        self, prediction: Float[Tensor, "N B 2"], target: Int[Tensor, "N B"]
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats over the steps that are read."""
        return F.cross_entropy(prediction.flatten(0, 1), target.flatten())

    def scores(
        self, prediction: Float[Tensor, "N B 2"], target: Int[Tensor, "N B"]
    ) -> dict[str, float]:
        """Loss in nats, and accuracy at the last step alone."""
        right = prediction[-1].argmax(-1) == target[-1]
        loss = self.loss(prediction, target)
        return {"loss": loss.item(), "accuracy": right.float().mean().item()}

    def baseline(self) -> float:
        """The loss of a coin, log 2."""
        return math.log(2)

    def describe(self) -> dict[str, object]:
        """Everything that decides its numbers except the seed, and its source."""
        return {
            "task": "parity",
            "length": self.length,
            "longer": self.longer,
            "batch_size": self.batch_size,
            "validation_size": self.validation_size,
            "data_source": "generated",
        }
