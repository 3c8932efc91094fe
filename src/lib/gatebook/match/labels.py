"""Image Match with the answer as a label: does a network remember when told what to?

An agent must find out that the reward of the last phase depends on the first. Here
the same episodes, walked at random, come with the place of the right switch as a
target, asked for when the switches come into view. What an agent fails at and this
solves is not memory, but the credit for it.
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_count, check_integer
from gatebook.match.features import FEATURES, encode
from gatebook.match.players import uniform
from gatebook.match.setting import Match
from gatebook.match.values import seen_by_chance
from gatebook.match.world import Episodes
from gatebook.random import generator


@dataclass(frozen=True)
class Labelled:
    """Episodes of uniform actions up to the first picture of the switches.

    Arguments:
        match: the setting.
        batch_size: episodes per batch.
        seed: decides all batches.
        validation_size: episodes that scores are taken on.

    Example:
        >>> x, target = Labelled(Match(), batch_size=2).batch(0)
        >>> x.shape, target.shape
        (torch.Size([26, 2, 80]), torch.Size([1, 2]))
    """

    match: Match
    batch_size: int = 64
    seed: int = 0
    validation_size: int = 512

    input_size = FEATURES
    steps_read = 1

    def __post_init__(self):
        check_integer("seed", self.seed)
        check_count("batch_size", self.batch_size)
        check_count("validation_size", self.validation_size)

    @property
    def output_size(self) -> int:
        """S, one class for each switch."""
        return self.match.switches

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """What a walker sees (E + D + 1, B, features), and the switch (1, B)."""
        check_integer("step", step)
        return self._make(self.batch_size, "train", step)

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """One batch that training never drew."""
        return [self._make(self.validation_size, "validation")]

    def _make(self, count: int, *name: object) -> tuple[Tensor, Tensor]:
        episodes = Episodes(self.match, count, self.seed, "labelled", *name)
        g = generator(self.seed, "labelled", "actions", *name)
        seen = [encode(episodes)]
        for _ in range(self.match.explore + self.match.delay):
            episodes.step(uniform(episodes, g))
            seen.append(encode(episodes))
        return torch.stack(seen), torch.from_numpy(episodes.answer)[None]

    def loss(
        self, prediction: Float[Tensor, "1 B S"], target: Int[Tensor, "1 B"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy in nats."""
        return F.cross_entropy(prediction[0], target[0])

    def scores(
        self, prediction: Float[Tensor, "1 B S"], target: Int[Tensor, "1 B"]
    ) -> dict[str, float]:
        """Loss in nats, and the share of right answers."""
        right = (prediction.argmax(-1) == target).float().mean()
        return {"loss": self.loss(prediction, target).item(), "accuracy": right.item()}

    def baseline(self) -> float:
        """The loss of a network without memory, log S."""
        return math.log(self.match.switches)

    def best_accuracy(self) -> float:
        """The accuracy of perfect memory: nobody knows a cue that was never in view."""
        seen = seen_by_chance(self.match)
        return seen + (1 - seen) / self.match.switches

    def describe(self) -> dict[str, object]:
        """All that decides its numbers except the seed, and where they come from."""
        return self.match.describe() | {
            "task": "match, labelled",
            "batch_size": self.batch_size,
            "validation_size": self.validation_size,
            "data_source": "generated",
        }
