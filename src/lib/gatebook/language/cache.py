"""The continuous cache: recent words become more likely (Grave et al. 2016).

The model's outputs h and the words that followed them are kept for some steps. With
h_t at hand, a word has the probability

    p(w) = (1 - λ) p_model(w) + λ p_cache(w),
    p_cache(w) ∝ Σ_i 1{w = x_{i+1}} exp(θ h_t · h_i),

the sum over the steps i of the window. Nothing is trained. AWD-LSTM's code calls this
a pointer. There the cache is not used until a whole window has been read (``wait``);
here it is used from the second token on.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import (
    check_between,
    check_count,
    check_fraction,
    check_not_negative,
)
from gatebook.language.model import LanguageModel
from gatebook.language.perplexity import Perplexity
from gatebook.language.reading import check_ids, shifted, windows
from gatebook.modes import evaluating

BLOCK = 256
"""Targets that are looked up at once; the figure does not depend on it."""


class Reading(NamedTuple):
    """A text as a model has read it.

    Attributes:
        hidden: outputs of the last layer, from which ``target`` is predicted, (N, W).
        target: the words of the text, (N,).
        log_model: the model's log-probability of each of them, (N,).
    """

    hidden: Float[Tensor, "N W"]
    target: Int[Tensor, " N"]
    log_model: Float[Tensor, " N"]


def read(model: LanguageModel, ids: Int[Tensor, " N"], *, eos: int) -> Reading:
    """Let a model read a text: the first word from ``eos``, the state carried on."""
    check_count("tokens of the text", len(ids))
    check_ids(model, ids, eos)
    with evaluating(model):
        parts = zip(*_windows(model, ids, eos), strict=True)
        return Reading(*(torch.cat(part) for part in parts))


def cache_log_probability(
    text: Reading, *, window: int = 500, theta: float = 1.0, first: int = 0
) -> Float[Tensor, " M"]:
    """The cache's log-probability of each target from ``first`` on.

    Minus infinity where the target is not in the window; the model's own where the
    window is empty, before the first word.

    Arguments:
        text: what has been read.
        window: steps that the cache holds.
        theta: θ, the weight of similarity; 0 counts the words of the window.
        first: index of the first target that is looked up.

    Raises:
        ValueError: for a window below 1, or a θ that is negative or not finite.
    """
    check_count("window", window)
    check_not_negative("theta", theta)
    check_between("first", first, 0, len(text.target) - 1)
    ends = range(first + BLOCK, len(text.target) + BLOCK, BLOCK)
    found = [
        _look_up(text, end - BLOCK, min(end, len(text.target)), window, theta)
        for end in ends
    ]
    if first == 0:
        found[0][0] = text.log_model[0]
    return torch.cat(found)


def mixture(
    log_model: Float[Tensor, " N"], log_cache: Float[Tensor, " N"], weight: float
) -> Float[Tensor, " N"]:
    """ln((1 - λ) p_model + λ p_cache) with λ = ``weight`` in [0, 1)."""
    check_fraction("weight", weight)
    if weight == 0:
        return log_model
    return torch.logaddexp(
        math.log1p(-weight) + log_model, math.log(weight) + log_cache
    )


def cached_perplexity(
    model: LanguageModel,
    ids: Int[Tensor, " N"],
    *,
    eos: int,
    window: int = 500,
    theta: float = 1.0,
    weight: float = 0.1,
    wait: int = 0,
) -> Perplexity:
    """The perplexity of a text with a cache, all N tokens of it.

    The defaults are AWD-LSTM's for Penn Treebank. Only a window of outputs is held at
    a time. State and cache run through the whole text, over articles too. With
    ``weight=0`` the figure is that of `gatebook.language.perplexity`.

    Arguments:
        model: is put into evaluation mode meanwhile.
        ids: the text.
        eos: id of the token that ends a line, from which the first word is predicted.
        window: steps that the cache holds.
        theta: θ.
        weight: λ in [0, 1), the cache's share.
        wait: words at the start that the model predicts alone. AWD-LSTM's
            ``pointer.py`` waits for ``window + 1`` of them.
    """
    check_count("tokens of the text", len(ids))
    check_ids(model, ids, eos)
    check_fraction("weight", weight)
    check_count("wait", wait, 0)
    total, past, told = 0.0, None, 0
    with evaluating(model):
        for new in _windows(model, ids, eos):
            text = new if past is None else _join(past, new)
            first = len(text.target) - len(new.target)
            log_cache = cache_log_probability(
                text, window=window, theta=theta, first=first
            )
            mixed = mixture(new.log_model, log_cache, weight)
            alone = max(0, min(wait - told, len(mixed)))
            mixed[:alone] = new.log_model[:alone]
            total -= mixed.double().sum().item()
            told += len(mixed)
            past = Reading(*(t[-window:] for t in text))
    return Perplexity(total / len(ids), len(ids))


def _look_up(
    text: Reading, first: int, last: int, window: int, theta: float
) -> Float[Tensor, " M"]:
    """The cache's log-probabilities of ``target[first:last]``."""
    start = max(0, first - window)
    rows, keys = text.hidden[first:last], text.hidden[start:last]
    t = torch.arange(first, last, device=keys.device)[:, None]
    i = torch.arange(start, last, device=keys.device)
    outside = (i >= t) | (i < t - window)
    score = (theta * (rows @ keys.T)).masked_fill(outside, -math.inf)
    other = text.target[first:last, None] != text.target[start:last]
    hit = score.masked_fill(other, -math.inf).logsumexp(1)
    return hit - score.logsumexp(1)


def _windows(
    model: LanguageModel, ids: Int[Tensor, " N"], eos: int
) -> Iterator[Reading]:
    before = shifted(ids, eos)
    for raw, y in windows(model, before[:, None], ids[:, None]):
        yield Reading(raw[:, 0], y[:, 0], -model.nll(raw[:, 0], y[:, 0]))


def _join(past: Reading, new: Reading) -> Reading:
    return Reading(*(torch.cat(pair) for pair in zip(past, new, strict=True)))
