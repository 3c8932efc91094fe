"""The loss by the place of a word in its article: what it is worth to have read on."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.errors import check_choice
from gatebook.language.corpus import Corpus
from gatebook.language.model import LanguageModel, detached
from gatebook.modes import evaluating

WINDOW = 256
"""Steps that are run at once; the figures do not depend on it."""


def article_losses(
    model: LanguageModel, corpus: Corpus, part: str
) -> Float[Tensor, "P A"]:
    """Minus the log-probability of each token, an article a column.

    Articles are read side by side, each from a zero state as in `part_perplexity`,
    so that all values together have its mean. What stands before the first title is
    a column of its own.

    Arguments:
        model: is put into evaluation mode meanwhile.
        corpus: one whose articles are known.
        part: ``"train"``, ``"valid"`` or ``"test"``.

    Returns:
        nats by position, from an article's first token, and article; NaN behind an
        article's end.

    Raises:
        ValueError: for a text without articles, or an unknown part.
    """
    check_choice("part", part, ("train", "valid", "test"))
    if corpus.articles is None:
        raise ValueError(f"corpus is {corpus.name!r}; allowed: one with articles")
    ids = getattr(corpus, part)
    before = torch.cat([ids.new_tensor([corpus.eos]), ids[:-1]])
    cuts = [cut for cut in corpus.articles[part].tolist() if cut]
    with evaluating(model):
        return _losses(model, _side(before, cuts), _side(ids, cuts))


def _losses(model: LanguageModel, read: Tensor, target: Tensor) -> Tensor:
    device = model.embedding.weight.device
    state, found = model.start(read.shape[1]), []
    for x, y in zip(read.split(WINDOW), target.split(WINDOW), strict=True):
        x, y = x.to(device), y.to(device)
        raw, _, state = model(x.clamp(min=0), state)
        state, there = detached(state), y >= 0
        loss = raw.new_full(y.shape, math.nan)
        loss[there] = model.nll(raw[there], y[there])
        found.append(loss.cpu())
    return torch.cat(found)


def _side(ids: Tensor, cuts: list[int]) -> Tensor:
    """Articles as columns; shorter ones are filled up with -1."""
    parts = ids.tensor_split(cuts)
    return torch.nn.utils.rnn.pad_sequence(list(parts), padding_value=-1)


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
