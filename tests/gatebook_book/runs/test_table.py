"""Stored runs as a table: what is listed, chosen, written, and how fast."""

import csv
import time

import matplotlib.pyplot as plt
import pyarrow.parquet
import pytest
from gatebook_book.figures import plots
from gatebook_book.runs import table
from gatebook_book.runs.store import FRESH, Store


def made(loss=0.5, steps=3, **more):
    status = "diverged" if loss is None else "finished"
    curves = {"step": list(range(steps)), "loss": [1.0 / (k + 1) for k in range(steps)]}
    return {"status": status, "metrics": {"loss": loss}, "curves": curves, **more}


@pytest.fixture
def runs(book):
    """Runs in all four places."""
    for seed in (0, 1, 2):
        for name in ("UR", "LSTM"):
            store = Store("first", "laptop", book / "data/results")
            store.run(name, seed, {"length": 100}, lambda c, s=seed: made(s / 10))
    swept = Store("first", "laptop", book / "_build/sweeps")
    swept.run("UR", 0, {"length": 20, "zoneout": [0.1, 0.0]}, lambda c: made(None))
    live = Store("second", "book", book / "_build/results")
    live.run("C", 0, {"length": "long"}, lambda c: made())
    again = Store("second", "laptop", book / FRESH)
    metrics = {"loss": 0.5, "flat 0.3": 7}
    again.run("O", 0, {"length": "long"}, lambda c: made() | {"metrics": metrics})
    return table.stored()[0]


def names(runs):
    return [(run["name"], run["seed"]) for run in runs]


def test_all_places_are_listed(runs):
    assert len(runs) == 9 and len(table.stored("second")[0]) == 2
    assert [run["file"].split("/")[1] for run in runs][-3:] == [
        "sweeps",
        "results",
        "fresh",
    ]
    assert table.line(runs[0]).startswith("first laptop LSTM seed 0: finished · loss 0")
    assert "diverged · loss –" in table.line(runs[6])


@pytest.mark.parametrize(
    ("where", "found"),
    [
        (["page=second"], [("C", 0), ("O", 0)]),
        (["name=UR", "seed=1:3"], [("UR", 1), ("UR", 2)]),
        (["name=LSTM,C", "seed=0"], [("LSTM", 0), ("C", 0)]),
        (["length=20.0"], [("UR", 0)]),
        (["status=diverged"], [("UR", 0)]),
        (["loss=0.2", "name=LSTM"], [("LSTM", 2)]),
        (["name=U"], []),
        (["flat 0.3=7"], [("O", 0)]),
        (["name = LSTM", " seed = 0 "], [("LSTM", 0)]),
    ],
)
def test_conditions_choose(runs, where, found):
    assert names(table.chosen(runs, where)) == found


def test_a_condition_on_nothing_is_refused(runs):
    with pytest.raises(ValueError, match="'lenght'; did you mean 'length"):
        table.chosen(runs, ["lenght=3"])
    with pytest.raises(ValueError, match="unknown field 'step'"):  # a curve's name
        table.chosen(runs, ["step=1"])
    with pytest.raises(ValueError, match="where is 'name'; allowed: name=value"):
        table.chosen(runs, ["name"])
    with pytest.raises(ValueError, match="where is 'name='; allowed: name=value"):
        table.chosen(runs, ["name="])
    with pytest.raises(ValueError, match="where seed is '3:0', an empty range"):
        table.chosen(runs, ["seed=3:0"])


def test_a_bad_file_is_named_and_the_rest_is_listed(runs, book, cli):
    bad = book / "data/results/first/laptop/A-seed0-00000000.json"
    bad.write_text('{"page": "fir')
    code, out, error = cli("results")
    assert code == 1 and "9 runs" in out
    assert error.startswith(f"error: result file {bad} is not JSON")
    code, out, _ = cli("results", "--export", str(book / "runs.csv"))
    assert code == 1 and "9 runs in" in out


def test_parquet_holds_rows_and_curves(runs, tmp_path):
    table.export(runs, tmp_path / "runs.parquet")
    rows = pyarrow.parquet.read_table(tmp_path / "runs.parquet").to_pylist()
    assert len(rows) == 9
    assert rows[0]["curve.loss"] == [1.0, 0.5, 1 / 3]
    assert rows[6]["parameter.zoneout"] == [0.1, 0.0] and rows[6]["metric.loss"] is None
    # A parameter that is a number here and a text there is JSON.
    assert rows[0]["parameter.length"] == "100"
    assert rows[7]["parameter.length"] == '"long"'


def test_csv_holds_rows(runs, tmp_path):
    table.export(runs[:7], tmp_path / "runs.csv")
    with (tmp_path / "runs.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 7 and rows[1]["metric.loss"] == "0.1"
    assert rows[6]["parameter.zoneout"] == "[0.1, 0.0]"
    assert not any(name.startswith("curve.") for name in rows[0])


def test_another_ending_is_refused(runs, tmp_path):
    with pytest.raises(ValueError, match="unknown ending '.xlsx'"):
        table.export(runs, tmp_path / "runs.xlsx")
    table.export([], tmp_path / "none.csv")
    with pytest.raises(ValueError, match="export is .*/nowhere/runs.csv'; allowed"):
        table.export(runs, tmp_path / "nowhere" / "runs.csv")
    assert not (tmp_path / "nowhere").exists()


def test_a_thousand_runs_load_and_plot_in_two_seconds(book):
    store = Store("first", "laptop", book / "data/results")
    gates = ("LSTM", "C", "O", "U", "R", "OM", "OR", "UM", "UR", "G2")
    hist = {"before": [0.123456789] * 128, "after": [0.987654321] * 128}
    text = {}
    for gate in gates:
        run = store.run(gate, 0, {}, lambda c: made(steps=50, histograms=hist))
        file = store.file(gate, 0, {})
        text[gate] = file.read_text()
        for seed in range(1, 100):
            own = text[gate].replace('"seed": 0', f'"seed": {seed}')
            store.file(gate, seed, {}).write_text(own)
    assert run["seed"] == 0
    plt.close(plots.learning_curves(store.load()[:10], "loss"))  # fonts are found once
    started = time.process_time()
    loaded = store.load()
    plt.close(plots.learning_curves(loaded, "loss"))
    seconds = time.process_time() - started
    assert len(loaded) == 1000
    assert seconds < 2, f"{seconds:.2f} s"  # beside another core at work
