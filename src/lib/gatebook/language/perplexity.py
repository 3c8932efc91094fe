"""Perplexity, exactly: the state is carried, and every token counts."""

import math
from dataclasses import dataclass

from jaxtyping import Int
from torch import Tensor

from gatebook.errors import check_choice, check_count
from gatebook.language.corpus import Corpus
from gatebook.language.model import LanguageModel
from gatebook.language.reading import check_ids, shifted, side_by_side, windows
from gatebook.language.windows import begins_of
from gatebook.modes import evaluating


def of_loss(loss: float) -> float:
    """exp(loss): infinite on overflow, and NaN stays NaN."""
    return math.inf if loss >= 700 else math.exp(loss)


@dataclass(frozen=True)
class Perplexity:
    """How well a text is predicted.

    Attributes:
        loss: mean of minus the log-probability of a token, in nats.
        tokens: how many were predicted.
    """

    loss: float
    tokens: int

    @property
    def value(self) -> float:
        """exp(loss): a uniform choice among this many words; infinite on overflow."""
        return of_loss(self.loss)

    def __str__(self) -> str:
        return f"{self.value:.2f} over {self.tokens:,} tokens"


def perplexity(
    model: LanguageModel,
    ids: Int[Tensor, " N"],
    *,
    eos: int,
    articles: Int[Tensor, " A"] | None = None,
    batch_size: int = 1,
) -> Perplexity:
    """The perplexity of a text, all N tokens of it.

    The first word is predicted from ``eos``, which ends the line before it. AWD-LSTM's
    code does not predict the first word, and with a batch of 10 drops up to 9 more.

    Arguments:
        model: is put into evaluation mode meanwhile.
        ids: the text.
        eos: id of the token that ends a line.
        articles: where articles begin, each read from a zero state; ``None`` if the
            state runs through.
        batch_size: parts that are read side by side, each from a zero state: quicker,
            and slightly worse for lack of memory at their starts. 1 is exact.

    Raises:
        ValueError: for fewer tokens than parts, or ids that the model does not have.
    """
    check_count("batch_size", batch_size)
    check_count("tokens of the text", len(ids), batch_size)
    check_ids(model, ids, eos)
    before, target, begins = (
        side_by_side(whole.tensor_split(batch_size))
        for whole in (shifted(ids, eos), ids, begins_of(len(ids), articles))
    )
    total = 0.0
    with evaluating(model):
        for raw, y in windows(model, before, target, begins > 0):
            there = y >= 0  # else the part has ended
            total += model.nll(raw[there], y[there]).double().sum().item()
    return Perplexity(total / len(ids), len(ids))


def part_perplexity(
    model: LanguageModel, corpus: Corpus, part: str, batch_size: int = 1
) -> Perplexity:
    """The perplexity of one part of a corpus.

    Arguments:
        model: of the corpus' vocabulary.
        corpus: with its articles, if it has any.
        part: ``"train"``, ``"valid"`` or ``"test"``.
        batch_size: as for `perplexity`.
    """
    check_choice("part", part, ("train", "valid", "test"))
    return perplexity(
        model,
        getattr(corpus, part),
        eos=corpus.eos,
        articles=(corpus.articles or {}).get(part),
        batch_size=batch_size,
    )
