"""Heads: from a hidden vector to the probabilities of words."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from gatebook.errors import check_between, check_count

HAS_PIECES = hasattr(F, "linear_cross_entropy")
"""Whether torch computes a softmax's loss in pieces; version 2.13 and later does."""


class Linear(nn.Linear):
    """Softmax over all words; the bias starts at 0."""

    def __init__(self, width: int, vocabulary_size: int):
        super().__init__(width, vocabulary_size)
        nn.init.uniform_(self.weight, -0.1, 0.1)
        nn.init.zeros_(self.bias)

    def nll(
        self, hidden: Float[Tensor, "N W"], target: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Minus the log-probability of each target."""
        return F.cross_entropy(self(hidden), target, reduction="none")

    def mean_nll(
        self, hidden: Float[Tensor, "N W"], target: Int[Tensor, " N"]
    ) -> Float[Tensor, ""]:
        """The mean of `nll`.

        From torch 2.13 on in pieces: N times V numbers are never held at once.
        """
        if not HAS_PIECES:
            return self.nll(hidden, target).mean()
        options = nn.LinearCrossEntropyOptions(batch_chunk_size=256)
        return F.linear_cross_entropy(
            hidden, self.weight, target, linear_bias=self.bias, options=options
        )

    def log_probabilities(self, hidden: Float[Tensor, "N W"]) -> Float[Tensor, "N V"]:
        """Of all words."""
        return F.log_softmax(self(hidden), -1)


class Adaptive(nn.AdaptiveLogSoftmaxWithLoss):
    """Frequent words by themselves, rarer ones in groups (Grave et al. 2017).

    Ids are to be sorted by frequency, the most frequent word first.

    Arguments:
        width: W.
        vocabulary_size: V.
        cutoffs: the first id of each rarer group, rising.
    """

    def __init__(self, width: int, vocabulary_size: int, cutoffs: Sequence[int]):
        for k, cut in enumerate(cutoffs):
            check_count(f"cutoffs[{k}]", cut)
            least = cutoffs[k - 1] + 1 if k else 1
            check_between(f"cutoffs[{k}]", cut, least, vocabulary_size - 1)
        super().__init__(width, vocabulary_size, list(cutoffs))

    def nll(
        self, hidden: Float[Tensor, "N W"], target: Int[Tensor, " N"]
    ) -> Float[Tensor, " N"]:
        """Minus the log-probability of each target."""
        return -self(hidden, target).output

    def mean_nll(
        self, hidden: Float[Tensor, "N W"], target: Int[Tensor, " N"]
    ) -> Float[Tensor, ""]:
        """The mean of `nll`."""
        return self(hidden, target).loss

    def log_probabilities(self, hidden: Float[Tensor, "N W"]) -> Float[Tensor, "N V"]:
        """Of all words."""
        return self.log_prob(hidden)


Head = Linear | Adaptive
