"""What pages do with stored runs on the way to a table."""

import pytest
from gatebook_book.studies.tables import (
    median_band,
    percent,
    runs_with,
    setup,
)


def run(name, seed, accuracy, **parameters):
    status = "finished" if accuracy is not None else "diverged"
    metrics = {"accuracy": accuracy}
    own = {"page": "p", "name": name, "seed": seed, "parameters": parameters}
    return own | {"status": status, "metrics": metrics}


RUNS = [
    run("UR", 0, 0.712, rate=1e-3, clip=None),
    run("UR", 1, 0.698, rate=1e-3, clip=None),
    run("UR", 2, 0.731, rate=1e-3, clip=None),
    run("UR", 0, 0.5, rate=2e-3, clip=1.0),
    run("LSTM", 0, 0.6, rate=1e-3),
]


def test_runs_are_chosen_by_their_name_and_parameters():
    assert len(runs_with(RUNS)) == 5
    assert [r["seed"] for r in runs_with(RUNS, "UR", rate=1e-3)] == [0, 1, 2]
    assert len(runs_with(RUNS, rate=1e-3)) == 4
    assert len(runs_with(RUNS, clip=None)) == 3  # a run without the parameter is none
    assert runs_with(RUNS, "C") == []


def test_a_band_in_words_and_in_percent():
    own = runs_with(RUNS, "UR", rate=1e-3)
    assert median_band(own, "accuracy") == "0.71 [0.70, 0.73]"
    assert median_band(own, "accuracy", ".1f", 100) == percent(own)
    assert percent(own) == "71.2 [69.8, 73.1]"
    assert percent([*own, run("UR", 3, None)]) == "71.2 [69.8, 73.1], 1 of 4 diverged"


@pytest.mark.parametrize(
    "runs, words", [([], "no run"), ([run("UR", 0, None)], "diverged")]
)
def test_without_a_figure_it_says_why(runs, words):
    assert median_band(runs, "accuracy") == percent(runs) == words


def test_a_line_says_what_runs_are_with_all_values_that_occur():
    made = {"device": "a <CPU>", "commit": "0123", "seconds": 90.0, "profile": "own"}
    runs = [
        run("UR", k, 0.5, data_source="x", length=n, steps=10000) | made
        for k, n in ((0, 100), (1, 20), (1, 100))
    ]
    line = setup(runs, ("data_source", "length", "steps", "pool")).data
    words = "own · x · N = 20, 100 · 10,000 steps · 3 runs, 2 seeds · 4 minutes in all"
    assert words in line and "a &lt;CPU&gt;, commit 0123</details>" in line
    assert "no run stored yet" in setup([], ("length",)).data
