"""A model's translations of a part of its corpus, and their scores."""

from typing import Any

from gatebook.translate.base import TranslationModel
from gatebook.translate.corpus import Corpus
from gatebook.translate.scores import tokenised_bleu
from gatebook.translate.search import translate
from gatebook.translate.train import check_vocabulary


def translations(
    model: TranslationModel,
    corpus: Corpus,
    part: str = "test",
    *,
    beam: int = 5,
    alpha: float = 1.0,
    count: int | None = None,
) -> list[str]:
    """Lines of words, one for each of the part's pairs, or for the first ``count``.

    Arguments:
        model: of the corpus's vocabulary.
        corpus: has the sources.
        part: of the corpus.
        beam: hypotheses of a sentence that are followed; 1 is greedy.
        alpha: α of the length normalisation, see `search`.
        count: how many pairs; all by default.

    Raises:
        ValueError: for a corpus of another vocabulary, an unknown part, a negative
            count, or a beam below 1.
    """
    check_vocabulary(model, corpus)
    sources = corpus.some(part, count).source
    found = translate(model, sources, beam=beam, alpha=alpha)
    return [corpus.subwords.decode(ids) for ids in found]


def judged(
    model: TranslationModel, corpus: Corpus, part: str = "test", **search: Any
) -> float:
    """Tokenised BLEU of `translations`, from 0 to 100; arguments as there."""
    said = translations(model, corpus, part, **search)
    return tokenised_bleu(said, corpus.lines(part, len(said)).target)
