"""Batches of about as many tokens each, of sentences of about one length."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gatebook.errors import check_count
from gatebook.random import generator
from gatebook.translate.corpus import Pairs
from gatebook.translate.subwords import EOS


@dataclass(frozen=True)
class Batch:
    """Sentence pairs side by side, padded with eos behind their ends.

    Attributes:
        source: ids, each sentence ended by eos, (S, B).
        source_lengths: with the eos, (B,), on the CPU.
        target: ids of the words to be said, eos last, (T, B).
        target_lengths: with the eos, (B,), on the CPU.
        rows: which pairs these are.
    """

    source: Int[Tensor, "S B"]
    source_lengths: Int[Tensor, " B"]
    target: Int[Tensor, "T B"]
    target_lengths: Int[Tensor, " B"]
    rows: list[int]

    @property
    def real(self) -> Bool[Tensor, "T B"]:
        """Which places of the target are words or their eos, not padding."""
        return inside(self.target, self.target_lengths)

    @property
    def real_source(self) -> Bool[Tensor, "S B"]:
        """The same for the source."""
        return inside(self.source, self.source_lengths)

    def to(self, device: torch.device) -> "Batch":
        """The same batch with its ids on a device."""
        source, target = self.source.to(device), self.target.to(device)
        lengths = self.source_lengths, self.target_lengths
        return Batch(source, lengths[0], target, lengths[1], self.rows)


def inside(ids: Int[Tensor, "T B"], lengths: Int[Tensor, " B"]) -> Bool[Tensor, "T B"]:
    """True where a step is within its sentence."""
    steps = torch.arange(len(ids), device=ids.device)
    return steps[:, None] < lengths.to(ids.device)


def padded(
    rows: Sequence[Sequence[int]],
) -> tuple[Int[Tensor, "T B"], Int[Tensor, " B"]]:
    """Sentences as columns, and their lengths."""
    lengths = [len(row) for row in rows]
    longest = max(lengths)
    filled = [[*row, *[EOS] * (longest - len(row))] for row in rows]
    with torch.device("cpu"):  # the default may be another one
        return torch.tensor(filled).T.contiguous(), torch.tensor(lengths)


def batch_of(pairs: Pairs, rows: Sequence[int]) -> Batch:
    """These pairs as a batch."""
    source, target = ([side[k] for k in rows] for side in pairs[:2])
    return Batch(*padded(source), *padded(target), list(rows))


def shuffled(
    pairs: Pairs, tokens: int, sentences: int | None, seed: int, epoch: int
) -> list[list[int]]:
    """The batches of an epoch as rows: different ones, in a different order, each time.

    Sorted by target length, and by source length among equals. The sort is stable
    after a shuffle, so that pairs of equal lengths meet different ones in each epoch.

    Arguments:
        pairs: the training pairs.
        tokens: at most this many places on a batch's longer side, padding included.
        sentences: at most this many pairs in a batch; ``None`` for no limit.
        seed: of the run.
        epoch: from 0.
    """
    g = generator(seed, "batches", epoch)
    order = torch.randperm(len(pairs.source), generator=g, device=g.device).tolist()
    order.sort(key=lambda k: (len(pairs.target[k]), len(pairs.source[k])))
    found = _cut(pairs, order, tokens, sentences)
    again = torch.randperm(len(found), generator=g, device=g.device)
    return [found[k] for k in again.tolist()]


def in_order(pairs: Pairs, tokens: int = 4000) -> Iterator[Batch]:
    """All pairs once, the shortest first; a batch's ``rows`` says which pairs it has.

    Arguments:
        pairs: all of them.
        tokens: as for `shuffled`.
    """
    order = sorted(
        range(len(pairs.source)),
        key=lambda k: (len(pairs.target[k]), len(pairs.source[k])),
    )
    for rows in _cut(pairs, order, tokens):
        yield batch_of(pairs, rows)


def _cut(
    pairs: Pairs, order: Sequence[int], tokens: int, sentences: int | None = None
) -> list[list[int]]:
    """Rows in this order, cut where longest side times number of pairs is too large."""
    check_count("tokens", tokens)
    most = sentences or len(order)
    found: list[list[int]] = []
    longest = 0
    for k in order:
        longest = max(longest, len(pairs.source[k]), len(pairs.target[k]))
        size = len(found[-1]) if found else most
        if size >= most or longest * (size + 1) > tokens:
            found.append([])
            longest = max(len(pairs.source[k]), len(pairs.target[k]))
        found[-1].append(k)
    return found
