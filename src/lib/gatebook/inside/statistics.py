"""Statistics of gates over words: each sentence is compared with itself.

Arrays have one entry per word; ``sentence`` has the number of its sentence. Words of
one sentence are not independent, so all uncertainty is over sentences.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from gatebook.errors import check_between, check_count
from gatebook.random import derive_seed

ROUNDING = 1e-12
"""What varies by less, relative to its size, does not vary."""

Values = Float[np.ndarray, " N"]
Flags = Bool[np.ndarray, " N"]
Sentence = Int[np.ndarray, " N"]
PerSentence = Float[np.ndarray, " S"]


def auc_within(values: Values, chosen: Flags, sentence: Sentence) -> PerSentence:
    """P(value at a chosen word < value at another word of its sentence), ties 1/2.

    One half means no order. It does not change when values are stretched, so that
    models whose gates spread differently can be compared. With n chosen and m other
    words it is 1 - U/(nm), where U is the statistic of Mann and Whitney (1947).

    Arguments:
        values: of N words.
        chosen: which of them are in the class.
        sentence: whole numbers from 0.

    Returns:
        one value for each sentence that has both kinds of words, in order of sentence.

    Raises:
        ValueError: for arrays of different lengths, or values that are not finite.
    """
    _check(values, chosen, sentence)
    n, m = _counts(chosen, sentence)
    ranks = np.bincount(sentence[chosen], _ranks(values, sentence)[chosen], len(n))
    both = (n > 0) & (m > 0)
    u = ranks - n * (n + 1) / 2
    return 1 - u[both] / (n * m)[both]


def difference_within(
    values: Values, chosen: Flags, sentence: Sentence, *, scaled: bool = False
) -> PerSentence:
    """Mean over the other words minus mean over the chosen ones, sentence by sentence.

    Arguments:
        values: as for `auc_within`, like the next two.
        chosen: which words.
        sentence: their sentences.
        scaled: divide by the sentence's standard deviation; a sentence whose values are
            all equal is then left out.

    Returns:
        as for `auc_within`, in the unit of ``values``, or in standard deviations.

    Raises:
        ValueError: as for `auc_within`.
    """
    _check(values, chosen, sentence)
    n, m = _counts(chosen, sentence)
    both = (n > 0) & (m > 0)
    ones = np.bincount(sentence[chosen], values[chosen], len(n))
    others = np.bincount(sentence[~chosen], values[~chosen], len(n))
    found = others[both] / m[both] - ones[both] / n[both]
    if not scaled:
        return found
    centred = values - _means(values, sentence)[sentence]
    squares = np.bincount(sentence, centred**2, len(n))[both]
    width = np.sqrt(squares / (n + m)[both])
    varies = width > ROUNDING * np.abs(values).max(initial=0)
    return found[varies] / width[varies]


def lift(values: Values, chosen: Flags, share: float = 0.1) -> tuple[float, float]:
    """The share of chosen words among the smallest values, and their share of all.

    Arguments:
        values: of N words.
        chosen: which of them are in the class.
        share: which part of all words counts as the smallest.

    Returns:
        both shares; the first divided by the second is the lift.

    Raises:
        ValueError: for a share outside [0, 1], arrays of different lengths, or values
            that are not finite.
    """
    _check(values, chosen)
    check_between("share", share, 0, 1)
    count = max(1, round(share * len(values)))
    lowest = np.argsort(values, kind="stable")[:count]
    return float(chosen[lowest].mean()), float(chosen.mean())


def bootstrap(
    figures: PerSentence,
    groups: Int[np.ndarray, " S"] | None = None,
    *,
    draws: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> tuple[float, float]:
    """The ends of an interval for the mean, by resampling sentences.

    Arguments:
        figures: one per sentence.
        groups: what is drawn instead of single sentences, such as chapters, as whole
            numbers from 0.
        draws: how many times.
        level: the share of the draws that the interval holds.
        seed: of the draws.

    Returns:
        its lower and its upper end; NaN without any figure.

    Raises:
        ValueError: for less than one draw, or a level outside [0, 1].
    """
    check_count("draws", draws)
    check_between("level", level, 0, 1)
    if not len(figures):
        return float("nan"), float("nan")
    groups = np.arange(len(figures)) if groups is None else groups
    sums, counts = np.bincount(groups, figures), np.bincount(groups)
    sums, counts = sums[counts > 0], counts[counts > 0]
    rng = _draws(seed, "bootstrap")
    means = np.empty(draws)
    for k in range(draws):
        taken = rng.integers(0, len(sums), len(sums))
        means[k] = sums[taken].sum() / counts[taken].sum()
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def permuted(
    statistic: Callable[[Flags], float],
    chosen: Flags,
    sentence: Sentence,
    *,
    draws: int = 1000,
    seed: int = 0,
) -> Float[np.ndarray, " draws"]:
    """The statistic when the chosen words are drawn at random in each sentence.

    Each sentence keeps its number of chosen words.

    Arguments:
        statistic: of flags like ``chosen``.
        chosen: which words are in the class.
        sentence: their sentences.
        draws: how many times.
        seed: of the draws.

    Raises:
        ValueError: for arrays of different lengths, or less than one draw.
    """
    check_count("draws", draws)
    _check_columns({"chosen": chosen}, sentence)
    order = np.argsort(sentence, kind="stable")
    sorted_sentence, flags = sentence[order], chosen[order]
    rng = _draws(seed, "permuted")
    found = np.empty(draws)
    drawn = np.empty_like(chosen)
    for k in range(draws):
        shuffled = np.lexsort((rng.random(len(order)), sorted_sentence))
        drawn[order] = flags[shuffled]
        found[k] = statistic(drawn)
    return found


@dataclass(frozen=True)
class Effect:
    """A coefficient, its standard error and their quotient."""

    value: float
    error: float

    @property
    def t(self) -> float:
        """Value over standard error."""
        return self.value / self.error if self.error else float("nan")


def regression_within(
    values: Values, causes: dict[str, Values], sentence: Sentence
) -> dict[str, Effect]:
    """Least squares of the values on several causes, in deviations from the sentence.

    Sentence means are taken from both sides, so that only differences within a
    sentence count. Standard errors allow for any dependence within a sentence (the
    sandwich of Liang and Zeger 1986).

    Arguments:
        values: of N words.
        causes: columns by name, such as whether the word is in a class and the
            logarithm of its frequency.
        sentence: whole numbers from 0.

    Returns:
        each cause's slope: the change of the value per unit of the cause.

    Raises:
        ValueError: if a cause follows from the others, or never varies within a
            sentence; for columns of different lengths, or that are not finite.
    """
    columns = {name: np.asarray(c, float) for name, c in causes.items()}
    _check_columns({"values": values} | columns, sentence)
    x = np.stack([_centred(c, sentence) for c in columns.values()], 1)
    y = _centred(values, sentence)
    size = np.linalg.norm(x, axis=0)
    least = ROUNDING * np.linalg.norm(list(columns.values()), axis=1)
    if not (size > least).all() or np.linalg.cond(x / size) > 1e8:
        raise ValueError(
            f"causes {', '.join(causes)} follow from each other within the sentences; "
            "allowed: columns that are linearly independent there"
        )
    inverse = np.linalg.inv(x.T @ x)
    slopes = inverse @ (x.T @ y)
    scores = x * (y - x @ slopes)[:, None]
    clusters = np.zeros((sentence.max() + 1, x.shape[1]))
    np.add.at(clusters, sentence, scores)
    errors = np.sqrt(np.diag(inverse @ (clusters.T @ clusters) @ inverse))
    pairs = zip(causes, slopes, errors, strict=True)
    return {name: Effect(float(v), float(e)) for name, v, e in pairs}


def _draws(seed: int, purpose: str) -> np.random.Generator:
    """Not NumPy's own stream of the seed, from which the values may come."""
    return np.random.default_rng(derive_seed(seed, purpose))


def _check(values: Values, chosen: Flags, sentence: Sentence | None = None) -> None:
    arrays = {"values": values, "chosen": chosen}
    arrays |= {} if sentence is None else {"sentence": sentence}
    if len(set(map(len, arrays.values()))) != 1:
        has = ", ".join(f"{name} has {len(one)}" for name, one in arrays.items())
        raise ValueError(f"{has} entries; allowed: one per word in each")
    if not np.isfinite(values).all():
        raise ValueError("values hold NaN or infinity; allowed: numbers")


def _check_columns(columns: dict[str, np.ndarray], sentence: Sentence) -> None:
    for name, column in columns.items():
        if len(column) != len(sentence):
            raise ValueError(
                f"{name} has {len(column)} entries and sentence {len(sentence)}; "
                "allowed: one per word in each"
            )
        if not np.isfinite(column).all():
            raise ValueError(f"{name} holds NaN or infinity; allowed: numbers")


def _counts(chosen: Flags, sentence: Sentence) -> tuple[np.ndarray, np.ndarray]:
    """Chosen and other words of each sentence."""
    every = np.bincount(sentence)
    ones = np.bincount(sentence[chosen], minlength=len(every))
    return ones, every - ones


def _means(values: Values, sentence: Sentence) -> np.ndarray:
    return np.bincount(sentence, values) / np.maximum(np.bincount(sentence), 1)


def _centred(values: Values, sentence: Sentence) -> Values:
    return values - _means(values, sentence)[sentence]


def _ranks(values: Values, sentence: Sentence) -> Values:
    """Ranks from 1 within each sentence; equal values share the mean of their ranks."""
    order = np.lexsort((values, sentence))
    v, s = values[order], sentence[order]
    first = np.r_[True, (v[1:] != v[:-1]) | (s[1:] != s[:-1])]
    starts = np.flatnonzero(first)
    ends = np.r_[starts[1:], len(v)]
    tie = np.cumsum(first) - 1
    before = np.searchsorted(s, s)  # words of the sentences before this one
    middle = (starts[tie] + ends[tie] + 1) / 2 - before
    ranks = np.empty(len(values))
    ranks[order] = middle
    return ranks
