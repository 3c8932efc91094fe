"""Statistics within sentences, against counting by hand and known laws."""

import itertools

import jaxtyping
import numpy as np
import pytest
from gatebook import inside

rng = np.random.default_rng(0)


def corpus(sentences=40):
    """Values, flags and sentences of random words."""
    sentence = np.repeat(np.arange(sentences), rng.integers(2, 9, sentences))
    values = rng.integers(0, 5, len(sentence)) / 4  # with ties
    return values, rng.random(len(sentence)) < 0.4, sentence


def test_auc_counts_pairs_within_the_sentence():
    values, chosen, sentence = corpus()
    wanted = []
    for s in range(sentence.max() + 1):
        ones = values[(sentence == s) & chosen]
        others = values[(sentence == s) & ~chosen]
        pairs = [(a < b) + (a == b) / 2 for a, b in itertools.product(ones, others)]
        wanted += [np.mean(pairs)] if pairs else []
    np.testing.assert_allclose(inside.auc_within(values, chosen, sentence), wanted)


def test_auc_does_not_change_when_words_change_places_or_values_are_stretched():
    values, chosen, sentence = corpus()
    before = inside.auc_within(values, chosen, sentence)
    order = rng.permutation(len(values))
    after = inside.auc_within(values[order] ** 3, chosen[order], sentence[order])
    np.testing.assert_allclose(before, after)


def test_small_gates_at_the_class_give_one_and_a_positive_difference():
    values = np.array([0.1, 0.9, 0.8, 0.2, 0.7])
    chosen = np.array([True, False, False, True, False])
    sentence = np.array([0, 0, 0, 1, 1])
    assert inside.auc_within(values, chosen, sentence).tolist() == [1, 1]
    found = inside.difference_within(values, chosen, sentence)
    np.testing.assert_allclose(found, [0.75, 0.5])
    scaled = inside.difference_within(values, chosen, sentence, scaled=True)
    np.testing.assert_allclose(scaled, [0.75 / np.std([0.1, 0.9, 0.8]), 2.0])


def test_a_sentence_with_one_kind_of_word_is_left_out():
    chosen = np.array([True, True, False, True])
    found = inside.auc_within(np.array([0.1, 0.2, 0.3, 0.4]), chosen, np.arange(4) // 2)
    assert len(found) == 1


def test_lift_is_one_for_a_class_like_all_and_large_for_the_smallest():
    values = np.linspace(0, 1, 100)
    assert inside.lift(values, values < 0.2) == (1.0, pytest.approx(0.2))
    among, of_all = inside.lift(values, np.arange(100) % 2 == 0)
    assert among == pytest.approx(of_all)


def test_lift_refuses_what_has_no_order_or_no_partner(monkeypatch):
    values, chosen = np.linspace(0, 1, 5), np.arange(5) < 2
    unordered = np.where(chosen, np.nan, values)
    with pytest.raises(ValueError, match="values hold NaN"):
        inside.lift(unordered, chosen)
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # as users have it
    with pytest.raises(ValueError, match="values has 4, chosen has 5 entries; allowed"):
        inside.lift(values[:4], chosen)


def test_the_interval_of_a_mean_has_the_width_of_its_standard_error():
    figures = rng.normal(0.6, 0.2, 400)
    low, high = inside.bootstrap(figures, draws=1000)
    error = figures.std() / 20
    assert low < figures.mean() < high
    assert (high - low) / (2 * 1.96 * error) == pytest.approx(1, abs=0.1)


def test_drawing_whole_chapters_widens_the_interval():
    chapters = np.repeat(np.arange(20), 20)
    figures = rng.normal(0, 1, 20)[chapters] + rng.normal(0, 0.1, 400)
    low, high = inside.bootstrap(figures, draws=300)
    wide_low, wide_high = inside.bootstrap(figures, chapters, draws=300)
    assert wide_high - wide_low > 2 * (high - low)


def test_without_an_order_the_permuted_auc_lies_around_one_half():
    values, chosen, sentence = corpus()

    def auc(flags):
        return inside.auc_within(values, flags, sentence).mean()

    null = inside.permuted(auc, chosen, sentence, draws=300)
    assert null.mean() == pytest.approx(0.5, abs=4 * null.std() / np.sqrt(300))


def test_permuting_keeps_the_count_of_each_sentence():
    _, chosen, sentence = corpus()
    order = rng.permutation(len(sentence))
    chosen, sentence = chosen[order], sentence[order]

    def same(flags):
        counts = (np.bincount(sentence, each) for each in (flags, chosen))
        return float(np.array_equal(*counts))

    assert inside.permuted(same, chosen, sentence, draws=5).all()


def test_regression_separates_a_class_from_its_frequency():
    sentence = np.repeat(np.arange(200), 10)
    frequency = rng.normal(0, 1, 2000)
    chosen = (frequency + rng.normal(0, 1, 2000) > 1).astype(float)
    noise = rng.normal(0, 0.1, 2000) + rng.normal(0, 1, 200)[sentence]
    values = 0.3 * frequency + noise  # the class itself does nothing
    alone = inside.regression_within(values, {"class": chosen}, sentence)
    both = inside.regression_within(
        values, {"class": chosen, "frequency": frequency}, sentence
    )
    assert alone["class"].t > 10
    assert abs(both["class"].t) < 3
    assert both["frequency"].value == pytest.approx(0.3, abs=0.01)


def test_causes_that_follow_from_each_other_are_refused():
    values, chosen, sentence = corpus()
    causes = {"a": chosen.astype(float), "b": 2.0 * chosen}
    with pytest.raises(ValueError, match="a, b"):
        inside.regression_within(values, causes, sentence)


def test_values_that_are_not_numbers_are_refused():
    values, chosen, sentence = corpus()
    values[3] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        inside.auc_within(values, chosen, sentence)


def test_a_cause_that_never_varies_within_a_sentence_is_refused():
    values, _, sentence = corpus()
    for size in (1.0, 0.1):  # the mean of equal numbers may differ from them
        with pytest.raises(ValueError, match="causes c follow"):
            inside.regression_within(values, {"c": size * (1.0 + sentence)}, sentence)


def test_a_sentence_of_equal_values_has_no_standard_deviation():
    chosen, sentence = np.array([True, False, False]), np.zeros(3, int)
    for value in (1.0, 0.1):
        equal = np.full(3, value)
        found = inside.difference_within(equal, chosen, sentence, scaled=True)
        assert len(found) == 0


def test_a_regression_on_what_is_no_number_is_refused():
    values, chosen, sentence = corpus()
    values[3] = np.nan
    with pytest.raises(ValueError, match="values holds NaN"):
        inside.regression_within(values, {"class": 1.0 * chosen}, sentence)
