"""Gates over words: which step belongs to which word, and to which class."""

import math

import numpy as np
import pytest
import torch
from gatebook import LSTM, inside, record

VOCABULARY = ["<start>", "the", "sea", ",", "and", "land"]


def comma_gate():
    """An LSTM whose forget gates close when it reads a comma, and at nothing else."""
    lstm = LSTM(len(VOCABULARY), 4, gate="LSTM0")
    with torch.no_grad():
        for weight in lstm.parameters():
            weight.zero_()
        names = list(lstm.core.blocks())
        rows = slice(4 * names.index("forget"), 4 * names.index("forget") + 4)
        lstm.weight_ih_l0[rows] = 9.0
        lstm.weight_ih_l0[rows, VOCABULARY.index(",")] = -9.0
    return lstm


def test_a_gate_that_closes_at_commas_read_closes_one_word_later_in_the_other():
    words = ["the", "sea", ",", "and", "land"]
    ids = torch.tensor([VOCABULARY.index(w) for w in ["<start>", *words]])
    lstm = comma_gate()
    with record(lstm) as gates, torch.no_grad():
        lstm(torch.nn.functional.one_hot(ids, len(VOCABULARY)).float()[:, None])
    steps = gates["l0"]["effective_forget"][:, 0]  # step t has read ids[0..t]
    read = inside.over_words(steps, range(5), "read").mean(1)
    predicted = inside.over_words(steps, range(5), "predicted").mean(1)
    assert [words[k] for k in torch.nonzero(read < 0.5)] == [","]
    assert [words[k] for k in torch.nonzero(predicted < 0.5)] == ["and"]


def test_a_word_of_several_pieces_has_their_mean():
    steps = torch.tensor([[0.9, 0.0], [0.2, 0.4], [0.4, 0.8], [1.0, 0.5]])
    read = inside.over_words(steps, [0, 0, 1])
    torch.testing.assert_close(read, torch.tensor([[0.3, 0.6], [1.0, 0.5]]))
    first = inside.over_words(steps, [0, 0, 1], "predicted")[0]
    torch.testing.assert_close(first, torch.tensor([0.55, 0.2]))


@pytest.mark.parametrize("word_of", [[], [1], [0, 2], [0, 1, 0], [0, 0, 1, 1]])
def test_pieces_that_do_not_fit_the_steps_are_refused(word_of):
    with pytest.raises(ValueError, match="allowed"):
        inside.over_words(torch.rand(4, 2), word_of)


def test_an_unknown_alignment_is_refused():
    with pytest.raises(ValueError, match="predicted"):
        inside.over_words(torch.rand(2, 2), [0], "next")


def test_classes_do_not_overlap():
    sizes = sum(map(len, inside.CLASSES.values()))
    assert len(frozenset.union(*inside.CLASSES.values())) == sizes
    assert set().union(*inside.CLASSES.values()) >= inside.AMBIGUOUS


def test_marks_at_the_end_are_apart_and_case_does_not_count():
    text = 'And he said , " Go , because I say it ! "'
    assert inside.word_classes(text.split()) == [
        "coordinator",
        "pronoun",
        "content",
        "mark",
        "mark",
        "content",
        "mark",
        "subordinator",
        "pronoun",
        "content",
        "pronoun",
        "final mark",
        "final mark",
    ]


def test_a_histogram_in_batches_is_that_of_all_values():
    values = torch.rand(1000, generator=torch.Generator().manual_seed(0)).double()
    h = inside.Histogram(bins=20)
    for part in values.split(37):
        h.add(part.reshape(1, -1))
    counted = np.histogram(values, 20, (0, 1))[0] / 1000
    np.testing.assert_allclose(h.shares, counted)
    assert h.mean == pytest.approx(values.mean().item())
    ends = ((values < 0.1) | (values >= 0.9)).double().mean().item()
    assert h.outside(0.1, 0.9) == pytest.approx(ends)


def test_both_ends_of_the_interval_are_counted():
    h = inside.Histogram(bins=4)
    h.add(torch.tensor([0.0, 1.0, 0.25]))
    assert h.counts.tolist() == [1, 1, 0, 1]


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_a_histogram_refuses_what_is_no_gate(value):
    with pytest.raises(ValueError, match=r"allowed: \[0, 1\]"):
        inside.Histogram().add(torch.tensor([0.5, value]))


def test_a_share_from_within_a_bin_is_refused():
    with pytest.raises(ValueError, match="multiple of 1/10"):
        inside.Histogram(bins=10).below(0.25)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_values_in_half_precision_fall_into_their_own_bins(dtype):
    values = torch.rand(1000).to(dtype)
    half, single = inside.Histogram(), inside.Histogram()
    half.add(values)
    single.add(values.float())
    assert torch.equal(half.counts, single.counts)


def test_an_empty_histogram_has_no_shares_and_ends_are_in_order():
    h = inside.Histogram(bins=10)
    assert math.isnan(h.outside(0.1, 0.9))
    with pytest.raises(ValueError, match="low is 0.9"):
        h.outside(0.9, 0.1)
