"""The loss by a word's position in its article: what reading on is worth."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_choice
from gatebook.language.corpus import Corpus
from gatebook.language.model import LanguageModel
from gatebook.language.reading import shifted, side_by_side, windows
from gatebook.modes import evaluating


def article_losses(
    model: LanguageModel, corpus: Corpus, part: str
) -> Float[Tensor, "P A"]:
    """Minus the log-probability of each token, one article per column.

    Articles are read side by side, each from a zero state as in `part_perplexity`,
    so that all values together have its mean. What comes before the first title is
    a column of its own.

    Arguments:
        model: is put into evaluation mode meanwhile.
        corpus: one whose articles are known.
        part: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        nats by position, from an article's first token, and article; NaN after an
        article's end.

    Raises:
        ValueError: for a text without articles, or an unknown part.
    """
    check_choice("part", part, ("train", "valid", "test"))
    if corpus.articles is None:
        raise ValueError(f"corpus is {corpus.name!r}; allowed: one with articles")
    ids = getattr(corpus, part)
    cuts = [cut for cut in corpus.articles[part].tolist() if cut]
    before, target = (
        side_by_side(whole.tensor_split(cuts))
        for whole in (shifted(ids, corpus.eos), ids)
    )
    with evaluating(model):
        found = [_losses(model, *window) for window in windows(model, before, target)]
    return torch.cat(found)


def _losses(
    model: LanguageModel, raw: Float[Tensor, "T B W"], y: Int[Tensor, "T B"]
) -> Float[Tensor, "T B"]:
    there = y >= 0
    loss = raw.new_full(y.shape, math.nan)
    loss[there] = model.nll(raw[there], y[there])
    return loss.cpu()


def by_position(
    losses: Float[Tensor, "P A"],
) -> dict[str, list[float]]:
    """The mean loss over positions [2^k, 2^(k+1)), counted from 1.

    Arguments:
        losses: from `article_losses`.

    Returns:
        lists over k: ``first``, the bin's first position; ``tokens`` in the bin;
        ``loss``, their mean in nats. Empty bins are left out.

    Example:
        >>> by_position(torch.tensor([[4.0], [3.0], [1.0]]))["loss"]
        [4.0, 2.0]
    """
    rows: dict[str, list[float]] = {"first": [], "tokens": [], "loss": []}
    for k in range(len(losses).bit_length()):
        part = losses[2**k - 1 : 2 ** (k + 1) - 1]
        there = part[~part.isnan()].double()
        if len(there):
            rows["first"].append(2**k)
            rows["tokens"].append(len(there))
            rows["loss"].append(there.mean().item())
    return rows
