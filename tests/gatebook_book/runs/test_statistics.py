"""Figures over several runs."""

import pytest
from gatebook_book.runs.statistics import first_below, in_words, median_of, spread


def done(loss, status="finished"):
    run = {"page": "memory/copy", "profile": "laptop", "name": "UR", "seed": 1}
    return run | {"status": status, "metrics": {"loss": loss}}


def test_the_median_counts_diverged_runs():
    runs = [done(0.1), done(0.3), done(0.9), done(None, "diverged")]
    runs = [run | {"seed": seed} for seed, run in enumerate(runs)]
    assert median_of(runs, "loss") == {
        "median": pytest.approx(0.3),
        "low": pytest.approx(0.1),
        "high": pytest.approx(0.9),
        "seeds": 4,
        "diverged": 1,
        "values": [0.1, 0.3, 0.9],
    }
    assert median_of([], "loss")["median"] is None
    assert median_of(runs[3:], "loss")["median"] is None
    assert median_of(runs + runs, "loss")["seeds"] == 4
    with pytest.raises(ValueError, match="mean 'loss'"):
        median_of(runs, "los")


@pytest.mark.parametrize("metrics", [{"loss": None}, {"accuracy": 1.0}])
def test_a_finished_run_without_a_number_is_named(metrics):
    message = "'loss' of the finished run memory/copy laptop UR seed 1 is None; allowed"
    with pytest.raises(ValueError, match=message):
        median_of([done(0.5), done(0.5) | {"metrics": metrics}], "loss")


def test_the_first_step_below_a_level_skips_what_is_not_finite():
    curves = {"step": [0, 10, 20, 30], "loss": [2.0, None, 0.5, 0.1]}
    assert first_below(curves, "loss", 0.5) == 20
    assert first_below(curves, "loss", 2.0) == 0
    assert first_below(curves, "loss", 0.05) == float("inf")
    with pytest.raises(ValueError, match="unknown score 'los'"):
        first_below(curves, "los", 0.5)


def test_a_spread_is_the_median_and_both_ends():
    assert spread([3.0, 1.0, 10.0]) == {"median": 3.0, "low": 1.0, "high": 10.0}
    assert spread([1.0, 2.0])["median"] == 1.5
    assert set(spread([]).values()) == {None}


@pytest.mark.parametrize(
    "values, form, words",
    [
        ([0.0312, 0.02, 0.05], None, "0.0312 [0.02, 0.05]"),
        ([1500, 999.4, 12345], None, "1500 [999, 12345]"),
        ([0.5], ".2f", "0.50 [0.50, 0.50]"),
        ([], None, "–"),
    ],
)
def test_a_spread_in_words(values, form, words):
    assert in_words(spread(values), form) == words
