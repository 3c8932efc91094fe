"""Kneser-Ney against a slow copy written from the formulas, and its sums."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from gatebook.language.corpus import Corpus
from gatebook_book.data.corpora import corpus
from gatebook_book.studies.ngram import KneserNey, kneser_ney


@pytest.fixture(scope="module")
def small():
    return corpus("kjv").first(20_000)


def slow(made, order):
    """p(w | h) for a tuple h that begins with None at a line's start."""
    lines, line = [], [None]
    for id in made.train.tolist():
        line.append(id)
        if id == made.eos:
            lines.append(tuple(line))
            line = [None]
    lines.append(tuple(line))
    raw = [
        Counter(
            line[end - n : end]
            for line in lines
            for end in range(max(n, 2), len(line) + 1)
        )
        for n in range(order + 1)
    ]
    counts = [None, *raw[1:]]
    for n in range(1, order):
        left = Counter(gram[1:] for gram in raw[n + 1])
        counts[n] = {g: c if g[0] is None else left[g] for g, c in raw[n].items()}
    cut = [None, *(discounts(c) for c in counts[1:])]

    def p(history, word):
        history = history[max(0, len(history) - order + 1) :]
        shorter = p(history[1:], word) if history else 1 / made.vocabulary_size
        n = len(history) + 1
        after = {g[-1]: c for g, c in counts[n].items() if g[:-1] == history}
        if not after:
            return shorter
        c, total = after.get(word, 0), sum(after.values())
        spared = sum(cut[n][min(c, 3)] for c in after.values())
        return (c - cut[n][min(c, 3)] + spared * shorter) / total

    return p


def discounts(counts):
    n = Counter(counts.values())
    y = n[1] / (n[1] + 2 * n[2])
    return [0, *(k - (k + 1) * y * n[k + 1] / n[k] for k in (1, 2, 3))]


def test_it_is_what_the_formulas_say(small):
    made, p = small.first(3000), slow(small.first(3000), 3)
    ids = small.valid[:60]
    history, wanted = (None,), []
    for id in ids.tolist():
        wanted.append(math.log(p(history, id)))
        history = (None,) if id == made.eos else (*history, id)
    found = KneserNey(made, 3).log_probabilities(ids)
    np.testing.assert_allclose(found, wanted, rtol=1e-10)


@pytest.mark.parametrize("history", ["", "in the", "said unto", "zyx of the lord ,"])
def test_the_probabilities_of_all_words_sum_to_one(small, history):
    model, before = KneserNey(small, 4), small.encode(history)
    line = [torch.cat([before, torch.tensor([w, small.eos])]) for w in range(7568)]
    rows = model.log_probabilities(torch.cat(line)).reshape(len(line), -1)
    assert np.exp(rows[:, len(before)]).sum() == pytest.approx(1)


def test_every_word_and_line_end_counts(small):
    logs = KneserNey(small, 5).log_probabilities(small.valid)
    assert logs.shape == (len(small.valid),) and (logs < 0).all()
    found = kneser_ney(small, 5)
    assert found["valid"] == pytest.approx(math.exp(-logs.mean()))
    assert found == kneser_ney(small, 5)


def test_longer_histories_help(small):
    perplexities = [kneser_ney(small, order)["valid"] for order in (1, 2, 3)]
    assert perplexities[0] > 1.5 * perplexities[1] > perplexities[2]
    assert perplexities[0] < small.vocabulary_size


def test_a_text_of_few_words_falls_back_on_fixed_discounts():
    ids = torch.tensor([2, 3, 2, 0])
    made = Corpus("text", ids, ids, ids, ("<eos>", "<unk>", "a", "b"), "by hand")
    level = KneserNey(made, 1).levels[0]
    assert level.discounts.tolist() == [0, 0.5, 1, 1.5]
    # Counts 1, 0, 2, 1 of 4, less 0.5, 0, 1, 0.5; the 2 spared go to four words.
    logs = KneserNey(made, 1).log_probabilities(torch.tensor([0, 1, 2, 3]))
    np.testing.assert_allclose(np.exp(logs), [0.25, 0.125, 0.375, 0.25])


def test_an_invalid_order_is_refused(small):
    with pytest.raises(ValueError, match="order is 0; allowed"):
        kneser_ney(small, 0)
