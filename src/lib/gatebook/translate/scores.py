"""How good translations are: BLEU, chrF, and how certain a difference is.

`bleu` and `chrf` are sacrebleu's, with the signature that says how they were taken.
`tokenised_bleu` is P1's measure, the arithmetic of ``multi-bleu.perl`` on words as they
are. The two differ by points on the same output; never compare one with the other.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from gatebook.errors import check_count, check_lines

ORDERS = 4
"""Longest n-gram of BLEU."""


class Score(NamedTuple):
    """A figure from 0 to 100, and how it was taken."""

    value: float
    signature: str


def bleu(
    hypotheses: Sequence[str], references: Sequence[str], *, case: bool = False
) -> Score:
    """sacrebleu's BLEU with its own tokenisation 13a, one reference each.

    Arguments:
        hypotheses: translations, a line each.
        references: what they should be.
        case: whether capitals count.

    Raises:
        ImportError: without the package sacrebleu.
        ValueError: for unequal numbers of lines.
    """
    return _taken(
        _sacrebleu().BLEU(lowercase=not case, force=True), hypotheses, references
    )


def chrf(hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    """sacrebleu's chrF2, an F-score of character n-grams; otherwise as `bleu`."""
    return _taken(_sacrebleu().CHRF(), hypotheses, references)


def tokenised_bleu(hypotheses: Sequence[str], references: Sequence[str]) -> float:
    """BLEU on words separated by blanks, one reference each, no smoothing.

    Equal to ``multi-bleu.perl`` and to sacrebleu with
    ``tokenize="none", smooth_method="none"``. From 0 to 100.

    Raises:
        ValueError: for unequal numbers of lines, or none.

    Example:
        >>> round(tokenised_bleu(["a b c d e"], ["a b c d f"]), 2)
        66.87
    """
    return float(_bleu_of(counted(hypotheses, references).sum(0)))


def paired_bootstrap(
    first: Sequence[str],
    second: Sequence[str],
    references: Sequence[str],
    *,
    draws: int = 1000,
    seed: int = 0,
) -> dict[str, float]:
    """How far two systems differ over resampled sentences (Koehn 2004).

    Both are judged on the same draw. The test is known to call a difference real a
    little too often, and it knows nothing of seeds: each system is one training run.

    Arguments:
        first: translations of one system, words separated by blanks.
        second: those of the other.
        references: what they should be.
        draws: how many times sentences are drawn, with replacement.
        seed: of the draws.

    Returns:
        ``difference``, the first's tokenised BLEU less the second's; ``low`` and
        ``high``, its 2.5 % and 97.5 % quantiles; ``wins``, the share of draws in which
        the first is ahead.

    Raises:
        ValueError: for unequal numbers of lines, or less than one draw.
    """
    check_count("draws", draws)
    both = [counted(one, references) for one in (first, second)]
    n = len(references)
    picks = np.random.default_rng(seed).integers(n, size=(draws, n))
    weights = np.stack([np.bincount(pick, minlength=n) for pick in picks])
    a, b = (_bleu_of(weights @ counts) for counts in both)
    low, high = np.quantile(a - b, (0.025, 0.975))
    whole = [_bleu_of(counts.sum(0)) for counts in both]
    return {
        "difference": float(whole[0] - whole[1]),
        "low": float(low),
        "high": float(high),
        "wins": float((a > b).mean()),
    }


def counted(
    hypotheses: Sequence[str], references: Sequence[str]
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """What BLEU adds up, a row for each sentence.

    Returns:
        (N, 10): for n = 1 to 4 the number of n-grams that the reference shares and of
        all n-grams; then the lengths of translation and reference, in words.
    """
    _check_equal(hypotheses, references)
    rows = []
    for pair in zip(hypotheses, references, strict=True):
        said, wanted = (line.split() for line in pair)
        row = []
        for n in range(1, ORDERS + 1):
            own, other = _ngrams(said, n), _ngrams(wanted, n)
            row += [(own & other).total(), own.total()]
        rows.append([*row, len(said), len(wanted)])
    return np.array(rows)


def _ngrams(words: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(words[k:] for k in range(n)), strict=False))


def _bleu_of(
    sums: np.ndarray[Any, np.dtype[np.int64]],
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """BLEU from sums of `counted`, (..., 10); 0 where some n has no match."""
    hits, every = sums[..., 0:8:2], sums[..., 1:8:2]
    with np.errstate(divide="ignore", invalid="ignore"):
        precision = np.log(hits / every).mean(-1)
        penalty = np.minimum(0.0, 1 - sums[..., 9] / sums[..., 8])
    return np.where((hits > 0).all(-1), 100 * np.exp(precision + penalty), 0.0)


def _taken(metric: Any, hypotheses: Sequence[str], references: Sequence[str]) -> Score:
    _check_equal(hypotheses, references)
    found = metric.corpus_score(list(hypotheses), [list(references)])
    return Score(float(found.score), str(metric.get_signature()))


def _check_equal(hypotheses: Sequence[str], references: Sequence[str]) -> None:
    check_lines("hypotheses", hypotheses)
    check_lines("references", references)
    if len(hypotheses) != len(references) or not references:
        raise ValueError(
            f"there are {len(hypotheses)} translations and {len(references)} "
            "references; allowed: as many, at least one"
        )


def _sacrebleu() -> Any:
    try:
        import sacrebleu.metrics
    except ImportError as error:
        raise ImportError(
            "BLEU and chrF with signatures need the package sacrebleu; allowed: pip "
            "install 'gatebook[translate]', or tokenised_bleu"
        ) from error
    return sacrebleu.metrics
