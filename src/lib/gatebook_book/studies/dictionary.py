"""A word-by-word dictionary learned from pairs: IBM model 1 (Brown et al. 1993).

It knows which words go together and nothing about their order: a baseline to beat.
"""

from collections.abc import Sequence

import numpy as np
from gatebook.errors import check_count

ROUNDS = 5


def dictionary(
    source: Sequence[str], target: Sequence[str], rounds: int = ROUNDS
) -> dict[str, str]:
    """For each source word the target word that it most often stands for.

    t(e | f) is the chance that the word f becomes e. A round shares each e of a line
    among the words f of the other line in proportion to t(e | f), and counts.

    Arguments:
        source: lines, words joined by blanks.
        target: a line for each of them.
        rounds: of expectation and maximisation, from equal chances.
    """
    check_count("rounds", rounds)
    words = [
        sorted({w for line in side for w in line.split()}) for side in (source, target)
    ]
    f, e, place = _links(source, target, *words)
    pairs, link = np.unique(f * len(words[1]) + e, return_inverse=True)
    of_f, of_e = np.divmod(pairs, len(words[1]))
    t = np.ones(len(pairs))
    for _ in range(rounds):
        share = t[link] / np.bincount(place, t[link])[place]
        count = np.bincount(link, share, len(pairs))
        t = count / np.bincount(of_f, count)[of_f]
    order = np.lexsort((t, of_f))  # the last of each f is its likeliest e
    return {words[0][of_f[k]]: words[1][of_e[k]] for k in order}


def word_by_word(table: dict[str, str], lines: Sequence[str]) -> list[str]:
    """Each word replaced by what it stands for; unknown words stay as they are."""
    return [" ".join(table.get(w, w) for w in line.split()) for line in lines]


def _links(
    source: Sequence[str], target: Sequence[str], own: list[str], other: list[str]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """All pairs of words in one pair of lines, and which target place each is of."""
    numbers = [{w: k for k, w in enumerate(words)} for words in (own, other)]
    fs, es, places, first = [], [], [], 0
    for x, y in zip(source, target, strict=True):
        f = np.array([numbers[0][w] for w in x.split()])
        e = np.array([numbers[1][w] for w in y.split()])
        fs.append(np.tile(f, len(e)))
        es.append(np.repeat(e, len(f)))
        places.append(np.repeat(np.arange(first, first + len(e)), len(f)))
        first += len(e)
    return np.concatenate(fs), np.concatenate(es), np.concatenate(places)
