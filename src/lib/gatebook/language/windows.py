"""A text cut for training: columns side by side, windows of varied length."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from gatebook.errors import check_count
from gatebook.random import uniform


class Columns(NamedTuple):
    """A text as B columns of equal length; up to B - 1 tokens at its end are left out.

    Attributes:
        read: the words that the model reads, (T, B).
        target: the words that follow them.
        begins: where ``target`` begins an article.
    """

    read: Int[Tensor, "T B"]
    target: Int[Tensor, "T B"]
    begins: Bool[Tensor, "T B"]

    def window(self, first: int, length: int, device: torch.device) -> "Columns":
        """``length`` rows from ``first``, or what is left of them."""
        return Columns(*(t[first : first + length].to(device) for t in self))


def columns(
    ids: Int[Tensor, " N"],
    batch_size: int,
    eos: int,
    articles: Int[Tensor, " A"] | None = None,
) -> Columns:
    """Cut a text into columns, each of which goes on where the last one ends.

    Example:
        >>> columns(torch.tensor([5, 6, 0, 7, 8, 0]), 2, eos=0).read.T.tolist()
        [[0, 5, 6], [0, 7, 8]]
    """
    check_count("batch_size", batch_size)
    check_count("tokens of the text", len(ids), 2 * batch_size)
    read = torch.cat([ids.new_tensor([eos]), ids[:-1]])
    begins = begins_of(len(ids), articles)
    rows = len(ids) // batch_size
    cut = [
        t[: rows * batch_size].view(batch_size, rows).T.contiguous()
        for t in (read, ids, begins)
    ]
    return Columns(*cut)


def begins_of(count: int, articles: Int[Tensor, " A"] | None) -> Bool[Tensor, " N"]:
    """Which of ``count`` words begin an article; none if there are no articles."""
    marks = torch.zeros(count, dtype=torch.bool, device="cpu")
    if articles is not None:
        marks[articles] = True
    return marks


def draw_length(bptt: int, g: torch.Generator) -> int:
    """A window's length as AWD-LSTM draws it, at least 5 (Merity et al. 2018, §5.1).

    The mean is ``bptt`` with probability 0.95, else half of it; the standard
    deviation is 5. A fixed length would cut the text at the same places in every
    epoch, and no gradient would ever cross them.
    """
    mean = bptt if uniform(g) < 0.95 else bptt / 2
    return max(5, int(mean + 5 * torch.randn((), generator=g, device=g.device).item()))
