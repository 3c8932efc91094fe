"""A bitext as ids: what a model trains on and is judged with."""

import functools
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from gatebook.errors import DataError, check_choice, check_count
from gatebook.translate.bitext import Bitext, Part
from gatebook.translate.subwords import EOS, Subwords


class Pairs(NamedTuple):
    """Sentences as ids, each ended by eos.

    Attributes:
        source: ids of each source sentence.
        target: ids of each target sentence.
        lines: where each pair stands in the bitext's part.
    """

    source: list[list[int]]
    target: list[list[int]]
    lines: list[int]

    def first(self, count: int) -> "Pairs":
        """The first ``count`` pairs."""
        return Pairs(self.source[:count], self.target[:count], self.lines[:count])


@dataclass(frozen=True)
class Corpus:
    """A bitext and its pieces, as ids.

    Attributes:
        bitext: the lines.
        subwords: the table of pieces.
        pairs: of each part of the bitext.
        longest: at most this many pieces on a side in training, eos not counted.
        skipped: pairs left out, by part and reason; the bitext's among them.
    """

    bitext: Bitext
    subwords: Subwords
    pairs: dict[str, Pairs]
    longest: int
    skipped: dict[str, int] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The bitext's name."""
        return self.bitext.name

    @property
    def train(self) -> Pairs:
        """The pairs to train on."""
        return self.pairs["train"]

    @property
    def valid(self) -> Pairs:
        """The pairs that training is watched on."""
        return self.pairs["valid"]

    @property
    def test(self) -> Pairs:
        """The pairs that the model is judged by."""
        return self.pairs["test"]

    @functools.cached_property
    def sum(self) -> str:
        """SHA-256 of pieces and ids."""
        parts = sorted((k, v.source, v.target) for k, v in self.pairs.items())
        return hashlib.sha256(repr((self.subwords.sum, parts)).encode()).hexdigest()

    def some(self, part: str, count: int | None) -> Pairs:
        """The pairs of a part, or the first ``count`` of them.

        Raises:
            ValueError: for an unknown part, or a negative count.
        """
        check_choice("part", part, self.pairs)
        if count is None:
            return self.pairs[part]
        check_count("count", count, least=0)
        return self.pairs[part].first(count)

    def lines(self, part: str = "test", count: int | None = None) -> Part:
        """The lines of a part's pairs as of `some`, words joined by blanks."""
        rows = self.some(part, count).lines
        text = self.bitext.parts[part]
        return Part(*(tuple(side[k] for k in rows) for side in text))

    def first(self, count: int) -> "Corpus":
        """The same with only the first ``count`` training pairs."""
        check_count("count", count)
        return replace(self, pairs={**self.pairs, "train": self.train.first(count)})


def encoded(bitext: Bitext, subwords: Subwords, longest: int = 64) -> Corpus:
    """Turn a bitext into ids.

    Arguments:
        bitext: the lines.
        subwords: the pieces, as `learned` gives them.
        longest: training pairs with more pieces on either side are left out (P1
            §4.1.2: 64). Those of other parts are kept, however long.

    Raises:
        DataError: if no training pair is left.
    """
    check_count("longest", longest)
    counts = Counter(bitext.skipped)
    pairs = {}
    for split, part in bitext.parts.items():
        both = [[subwords.encode(line) for line in side] for side in part]
        kept = [
            k
            for k, (x, y) in enumerate(zip(*both, strict=True))
            if split != "train" or max(len(x), len(y)) <= longest
        ]
        counts[f"{split}, more than {longest} pieces"] = len(part.source) - len(kept)
        source, target = ([side[k] + [EOS] for k in kept] for side in both)
        pairs[split] = Pairs(source, target, kept)
    if not pairs["train"].source:
        raise DataError(
            f"longest is {longest}, and no training pair of {bitext.name!r} is as "
            "short; allowed: a limit that leaves some"
        )
    return Corpus(bitext, subwords, pairs, longest, dict(+counts))


def learned(bitext: Bitext, merges: int) -> Subwords:
    """The joint pieces of a bitext's training lines, both sides together.

    Arguments:
        bitext: the lines.
        merges: of the most frequent pairs; see `Subwords.learn`.
    """
    train: Sequence[tuple[str, ...]] = bitext.parts["train"]
    return Subwords.learn([*train[0], *train[1]], merges)
