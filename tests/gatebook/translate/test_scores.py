"""Scores: multi-bleu's arithmetic by hand and by sacrebleu, and the bootstrap."""

import math

import pytest
import sacrebleu
import torch
from gatebook.translate.scores import (
    bleu,
    chrf,
    counted,
    paired_bootstrap,
    tokenised_bleu,
)


def random_lines(seed, count=40, similar=None):
    """Lines of few words; where ``similar`` is given, most words are its own."""
    g = torch.Generator().manual_seed(seed)
    found = []
    for k in range(count):
        n = int(torch.randint(1, 15, (), generator=g))
        words = [f"w{i}" for i in torch.randint(9, (n,), generator=g).tolist()]
        if similar:
            old = similar[k].split()
            keep = torch.rand(len(old), generator=g) < 0.8
            words = [w for w, on in zip(old, keep.tolist(), strict=True) if on]
        found.append(" ".join(words))
    return found


def test_by_hand():
    """'the' counts twice at most, and the translation is short."""
    said, wanted = ["the the the cat sat on"], ["the cat sat on the mat today"]
    # 1-grams 5 of 6 (clipped), 2-grams 3 of 5, 3-grams 2 of 4, 4-grams 1 of 3
    mean = math.exp(sum(map(math.log, (5 / 6, 3 / 5, 2 / 4, 1 / 3))) / 4)
    assert tokenised_bleu(said, wanted) == pytest.approx(
        100 * math.exp(1 - 7 / 6) * mean
    )
    assert counted(said, wanted).tolist() == [[5, 6, 3, 5, 2, 4, 1, 3, 6, 7]]


@pytest.mark.parametrize("seed", range(4))
def test_it_equals_sacrebleu_on_words_as_they_are(seed):
    wanted = random_lines(seed)
    said = random_lines(seed + 10, similar=wanted)
    options = {"tokenize": "none", "smooth_method": "none", "force": True}
    theirs = sacrebleu.corpus_bleu(said, [wanted], **options).score
    assert tokenised_bleu(said, wanted) == pytest.approx(theirs)


def test_without_a_match_of_four_it_is_nothing():
    assert tokenised_bleu(["a b c"], ["a b c"]) == 0
    assert tokenised_bleu(["a b c d"], ["a b c d"]) == pytest.approx(100)
    assert tokenised_bleu(["", "a b c d"], ["x", "a b c d"]) < 100


def test_signatures_say_how_a_score_was_taken():
    said, wanted = ["A cat sits here ."], ["a cat sits here ."]
    assert bleu(said, wanted).value == pytest.approx(100)
    assert "case:lc" in bleu(said, wanted).signature
    assert bleu(said, wanted, case=True).value < 100
    assert "tok:13a" in bleu(said, wanted, case=True).signature
    assert chrf(wanted, wanted).value == pytest.approx(100)
    assert "nc:6" in chrf(wanted, wanted).signature


def test_the_bootstrap_knows_a_difference_from_none():
    wanted = random_lines(0, 100)
    good, other = (random_lines(k, 100, similar=wanted) for k in (1, 2))
    bad = random_lines(3, 100)
    far = paired_bootstrap(good, bad, wanted, draws=200)
    assert far["low"] > 0 and far["wins"] == 1
    whole = tokenised_bleu(good, wanted) - tokenised_bleu(bad, wanted)
    assert far["difference"] == pytest.approx(whole)
    near = paired_bootstrap(good, other, wanted, draws=200)
    assert near["low"] < 0 < near["high"]
    same = paired_bootstrap(good, good, wanted, draws=50)
    assert same["low"] == same["high"] == 0


@pytest.mark.parametrize("score", [bleu, chrf, tokenised_bleu])
@pytest.mark.parametrize("lines", [([], []), (["a"], ["a", "b"])])
def test_unequal_numbers_of_lines_are_refused(score, lines):
    with pytest.raises(ValueError, match="translations and .* references"):
        score(*lines)
