"""Modified Kneser-Ney smoothing: what counting alone makes of a text.

Chen & Goodman (1999), "An empirical study of smoothing techniques for language
modeling", interpolated. Order 5 gives 141.2 on the test part of the Penn Treebank, as
in Mikolov's thesis (2012), table 4.1.

The package varikn has such models too, but fits its discounts by another rule: it
gives 146.3 there, and takes ten times as long.
"""

from dataclasses import dataclass

import numpy as np
from gatebook.errors import check_count
from gatebook.language.corpus import Corpus
from jaxtyping import Float64, Int64
from torch import Tensor

# If a text is so short that a count of counts is 0, as KenLM does.
FALLBACK = np.array([0.0, 0.5, 1.0, 1.5])


def kneser_ney(corpus: Corpus, order: int = 5) -> dict[str, float]:
    """Perplexities of an n-gram model of ``corpus.train`` on valid and test.

    All words count, ``<eos>`` too, as for the other models here. A line's history
    begins with the line, as is usual for n-grams.

    Arguments:
        corpus: any; a million tokens take about 4 s.
        order: words in the longest n-gram, the predicted one among them.
    """
    model = KneserNey(corpus, order)
    parts = {"valid": corpus.valid, "test": corpus.test}
    return {
        name: float(np.exp(-model.log_probabilities(ids).mean()))
        for name, ids in parts.items()
    }


@dataclass(frozen=True, eq=False)
class Level:
    """All n-grams of one order: c(h w), or how many words stand before h w.

    A history h is the number of an n-gram one word shorter.
    """

    keys: Int64[np.ndarray, " grams"]  # h * (V + 1) + w, ascending
    counts: Int64[np.ndarray, " grams"]
    discounts: Float64[np.ndarray, " 4"]  # D of the counts 0, 1, 2 and 3 or more
    totals: Float64[np.ndarray, " histories"]  # sum of counts over w
    spared: Float64[np.ndarray, " histories"]  # sum of discounts over w

    def find(self, keys: Int64[np.ndarray, " N"]) -> Int64[np.ndarray, " N"]:
        """The number of each n-gram, -1 for one that training has not."""
        place = np.searchsorted(self.keys, keys).clip(max=len(self.keys) - 1)
        return np.where(self.keys[place] == keys, place, -1)


class KneserNey:
    """Interpolated n-gram probabilities with three discounts an order.

    Arguments:
        corpus: its train part is counted.
        order: words in the longest n-gram.
    """

    def __init__(self, corpus: Corpus, order: int = 5) -> None:
        check_count("order", order)
        self.words, self.eos = corpus.vocabulary_size, corpus.eos
        text = self._with_starts(corpus.train)
        numbers = [np.zeros_like(text)]  # of each place's n-gram, order 0 upwards
        keys, first = [], []
        for n in range(1, order + 1):
            key = self._keys(text, numbers[-1], n)
            real = np.flatnonzero(key >= 0)
            unique, at, number = np.unique(
                key[real], return_index=True, return_inverse=True
            )
            keys.append(unique)
            first.append(real[at])
            numbers.append(_put(number, real, len(text)))
        self.levels = [
            self._level(text, numbers, keys, first, n) for n in range(1, order + 1)
        ]

    def _with_starts(self, ids: Tensor) -> Int64[np.ndarray, " M"]:
        """The text with one more word, number V, before each line."""
        row = ids.numpy()
        starts = np.flatnonzero(row[:-1] == self.eos) + 1
        return np.insert(row, np.concatenate([[0], starts]), self.words)

    def _keys(
        self, text: Int64[np.ndarray, " M"], shorter: Int64[np.ndarray, " M"], n: int
    ) -> Int64[np.ndarray, " M"]:
        """The key of the n-gram that ends at each place, -1 where a line is too short.

        Arguments:
            text: words with starts.
            shorter: the number of the (n - 1)-gram that ends at each place, or -1.
            n: the order.
        """
        if n == 1:
            return text
        before = np.concatenate([[-1], shorter[:-1]])
        key = before * (self.words + 1) + text
        return np.where((before < 0) | (text == self.words), -1, key)

    def _level(
        self,
        text: Int64[np.ndarray, " M"],
        numbers: list[np.ndarray],
        keys: list[np.ndarray],
        first: list[np.ndarray],
        n: int,
    ) -> Level:
        number, key = numbers[n], keys[n - 1]
        counts = np.bincount(number[number >= 0], minlength=len(key))
        if n < len(keys):
            # Words that stand before it; at a line's start there is none.
            left = np.bincount(number[first[n]], minlength=len(key))
            counts = np.where(left > 0, left, counts)
        counts[key % (self.words + 1) == self.words] = 0  # a start is never predicted
        discounts = _discounts(counts)
        history = key // (self.words + 1)
        size = len(keys[n - 2]) if n > 1 else 1
        cut = discounts[counts.clip(max=3)]
        totals = np.bincount(history, counts.astype(np.float64), minlength=size)
        spared = np.bincount(history, cut, minlength=size)
        return Level(key, counts, discounts, totals, spared)

    def log_probabilities(self, ids: Tensor) -> Float64[np.ndarray, " N"]:
        """The natural logarithm of each word's probability, given its line so far.

        Arguments:
            ids: words (N,), the first of which begins a line.
        """
        text = self._with_starts(ids)
        p = np.full(len(text), 1 / self.words)
        history = np.zeros_like(text)
        for n, level in enumerate(self.levels, 1):
            key = self._keys(text, history, n)
            number = np.where(key >= 0, level.find(key), -1)
            p = _interpolate(level, key // (self.words + 1), number, p)
            history = number
        return np.log(p[text != self.words])


def _put(
    values: Int64[np.ndarray, " K"], places: Int64[np.ndarray, " K"], size: int
) -> Int64[np.ndarray, " M"]:
    row = np.full(size, -1)
    row[places] = values
    return row


def _discounts(counts: Int64[np.ndarray, " grams"]) -> Float64[np.ndarray, " 4"]:
    """Chen & Goodman's estimate: how many n-grams are counted 1, 2, 3 and 4 times."""
    n = np.bincount(counts, minlength=5)[1:5].astype(np.float64)
    if (n == 0).any():
        return FALLBACK
    k = np.arange(1, 4)
    found = k - (k + 1) * n[0] / (n[0] + 2 * n[1]) * n[1:] / n[:-1]
    return np.concatenate([[0.0], found]) if (found >= 0).all() else FALLBACK


def _interpolate(
    level: Level,
    history: Int64[np.ndarray, " M"],
    number: Int64[np.ndarray, " M"],
    shorter: Float64[np.ndarray, " M"],
) -> Float64[np.ndarray, " M"]:
    """(c - D(c) + spared * p(shorter)) / total, where training has the history."""
    known = (history >= 0) & (level.totals[history] > 0)
    h = history[known]
    c = np.where(number[known] >= 0, level.counts[number[known]], 0)
    kept = c - level.discounts[c.clip(max=3)]
    p = shorter.copy()
    p[known] = (kept + level.spared[h] * shorter[known]) / level.totals[h]
    return p
