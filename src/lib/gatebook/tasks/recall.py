"""Multi-query associative recall (MQAR, Arora et al. 2023): which value has a key?

The first 2P symbols are P pairs of a key and its value, all different. Then each key
comes once more, at a random step, with random symbols in between; there the value
must be named. A state that holds one number for each unit has to keep all pairs apart
by itself; a matrix state is made for it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_count, check_integer
from gatebook.random import generator, integers, uniform

NOTHING = -100
"""The target of a step at which nothing is asked; torch's cross-entropy skips it."""


@dataclass(frozen=True)
class Recall:
    """Name the value of each key when the key comes again.

    Keys are the symbols 0 .. V/2 - 1, values the others. The published code
    (HazyResearch/zoology) puts most queries soon after the pairs; here every step
    is as likely as any other.

    Arguments:
        pairs: P, keys with a value.
        length: T, the steps of a sequence; at least 3P.
        vocabulary_size: V, an even number of symbols; at least 2P.
        batch_size: sequences per batch.
        seed: decides all batches.
        validation_size: sequences that scores are taken on.

    Example:
        >>> x, target = Recall(pairs=2, length=9, batch_size=3).batch(step=0)
        >>> x.shape, target.shape
        (torch.Size([9, 3, 64]), torch.Size([5, 3]))
    """

    pairs: int = 8
    length: int = 48
    vocabulary_size: int = 64
    batch_size: int = 32
    seed: int = 0
    validation_size: int = 256

    def __post_init__(self):
        check_integer("seed", self.seed)
        for name in ("pairs", "batch_size", "validation_size"):
            check_count(name, getattr(self, name))
        check_count("length", self.length, least=3 * self.pairs)
        check_count("vocabulary_size", self.vocabulary_size, least=2 * self.pairs)
        if self.vocabulary_size % 2:
            raise ValueError(
                f"vocabulary_size is {self.vocabulary_size}; allowed: an even number"
            )

    @property
    def input_size(self) -> int:
        """V."""
        return self.vocabulary_size

    @property
    def output_size(self) -> int:
        """V; the head may name any symbol."""
        return self.vocabulary_size

    @property
    def steps_read(self) -> int:
        """All steps after the pairs."""
        return self.length - 2 * self.pairs

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Input (T, B, V), one-hot; target (T - 2P, B), -100 where none is."""
        check_integer("step", step)
        return self._make(self.batch_size, "train", step)

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """One batch that training never drew."""
        return [self._make(self.validation_size, "validation")]

    def _make(self, batch: int, *name: object) -> tuple[Tensor, Tensor]:
        g = generator("recall", self.seed, *name)

        def choose(count: int, among: int) -> Tensor:
            """Different numbers below ``among`` in a random order, (count, B)."""
            return uniform(g, among, batch).argsort(0)[:count]

        half = self.vocabulary_size // 2
        keys, values = choose(self.pairs, half), half + choose(self.pairs, half)
        places = choose(self.pairs, self.steps_read)
        rest = integers(g, 0, self.vocabulary_size, self.steps_read, batch)
        asked = rest.scatter(0, places, keys)
        target = torch.full_like(rest, NOTHING).scatter(0, places, values)
        told = torch.stack([keys, values], 1).flatten(0, 1)
        symbols = torch.cat([told, asked])
        return F.one_hot(symbols, self.vocabulary_size).float(), target

    def loss(
        self, prediction: Float[Tensor, "S B V"], target: Int[Tensor, "S B"]
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats over the queries."""
        return F.cross_entropy(
            prediction.flatten(0, 1), target.flatten(), ignore_index=NOTHING
        )

    def scores(
        self, prediction: Float[Tensor, "S B V"], target: Int[Tensor, "S B"]
    ) -> dict[str, float]:
        """Loss in nats, and accuracy on the queries."""
        asked = target != NOTHING
        right = (prediction.argmax(-1) == target)[asked]
        loss = self.loss(prediction, target)
        return {"loss": loss.item(), "accuracy": right.float().mean().item()}

    def baseline(self) -> float:
        """The loss of a model that knows no more than which symbols are values."""
        return math.log(self.vocabulary_size / 2)

    def describe(self) -> dict[str, object]:
        """Everything that decides its numbers except the seed, and its source."""
        return {
            "task": "recall",
            "pairs": self.pairs,
            "length": self.length,
            "vocabulary_size": self.vocabulary_size,
            "batch_size": self.batch_size,
            "validation_size": self.validation_size,
            "data_source": "generated",
        }
