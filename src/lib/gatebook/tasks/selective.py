"""Selective copying: the copying task with its tokens at random steps.

Ten tokens from 1..8 come in order at ten random steps of the first N + 10, with
blanks (0) between them; ten markers (9) follow, at which the tokens must be named. A
network that only counts steps cannot do it: it must see what is a token. The sizes are
those of `Copy`, so the two differ only in the steps. The task is the
``copying`` of state-spaces/s4 with ``variable=True``; Gu and Dao (2023) call it
selective copying.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_count, check_integer
from gatebook.random import generator, integers, uniform
from gatebook.tasks.copy import BLANK, MARKER, SYMBOLS, TOKENS


@dataclass(frozen=True)
class SelectiveCopy:
    """Name ten tokens that were at random steps among N blanks.

    Arguments:
        length: N, the number of blanks.
        batch_size: sequences per batch.
        seed: decides all batches.
        validation_size: sequences that scores are taken on.

    Example:
        >>> x, target = SelectiveCopy(length=5, batch_size=2).batch(step=0)
        >>> x.shape, target.shape
        (torch.Size([25, 2, 10]), torch.Size([10, 2]))
    """

    length: int
    batch_size: int = 32
    seed: int = 0
    validation_size: int = 256

    input_size = MARKER + 1
    output_size = SYMBOLS + 1
    steps_read = TOKENS

    def __post_init__(self):
        check_integer("seed", self.seed)
        for name in ("length", "batch_size", "validation_size"):
            check_count(name, getattr(self, name))

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Input (N + 20, B, 10), one-hot, and target (10, B)."""
        check_integer("step", step)
        return self._make(self.batch_size, "train", step)

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """One batch that training never drew."""
        return [self._make(self.validation_size, "validation")]

    def _make(self, batch: int, *name: object) -> tuple[Tensor, Tensor]:
        g = generator("selective copy", self.seed, *name)
        tokens = integers(g, 1, SYMBOLS + 1, TOKENS, batch)
        order = uniform(g, self.length + TOKENS, batch).argsort(0)
        places = order[:TOKENS].sort(0).values
        blanks = tokens.new_full((self.length + TOKENS, batch), BLANK)
        markers = tokens.new_full((TOKENS, batch), MARKER)
        symbols = torch.cat([blanks.scatter(0, places, tokens), markers])
        return F.one_hot(symbols, MARKER + 1).float(), tokens

    def loss(
        self, prediction: Float[Tensor, "10 B 9"], target: Int[Tensor, "10 B"]
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats over the ten tokens."""
        return F.cross_entropy(prediction.flatten(0, 1), target.flatten())

    def scores(
        self, prediction: Float[Tensor, "10 B 9"], target: Int[Tensor, "10 B"]
    ) -> dict[str, float]:
        """Loss in nats, and accuracy on the tokens, not on whole sequences."""
        right = prediction.argmax(-1) == target
        loss = self.loss(prediction, target)
        return {"loss": loss.item(), "accuracy": right.float().mean().item()}

    def baseline(self) -> float:
        """The loss of a model without memory, log 8."""
        return math.log(SYMBOLS)

    def describe(self) -> dict[str, object]:
        """Everything that decides its numbers except the seed, and its source."""
        return {
            "task": "selective copy",
            "length": self.length,
            "batch_size": self.batch_size,
            "validation_size": self.validation_size,
            "data_source": "generated",
        }
