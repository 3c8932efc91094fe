"""The gate explorer: what is stored, how it is packed, and what a kernel sends."""

import base64
import gzip
import json
import re
from typing import Any

import pytest
import torch
from gatebook import LSTM
from gatebook.inside import Snapshots
from gatebook.tasks import Copy
from gatebook.training import build
from gatebook_book.paths import root
from gatebook_book.runs.store import load
from gatebook_book.widgets import GateExplorer
from gatebook_book.widgets.gate_explorer import (
    FILE,
    LIMIT,
    METHODS,
    MOMENTS,
    packed,
    stored_moments,
)

STORED: dict[str, Any] = json.loads(stored_moments())
UNITS, TIMES = STORED["parameters"]["hidden_size"], STORED["parameters"]["length"] + 20
EXPLORER = "units+gate_explorer"


def unpacked(in_node, text: str) -> torch.Tensor:
    content = list(gzip.decompress(base64.b64decode(text)))
    return torch.tensor(in_node(EXPLORER, "unpackedGates", [(content,)])[0])


def test_the_browser_unpacks_what_was_packed(in_node):
    g = torch.Generator().manual_seed(0)
    gates = torch.cat([torch.rand(400, generator=g), torch.tensor([0.0, 1.0, 0.999])])
    found = unpacked(in_node, packed(gates.reshape(13, 31))).double()
    logit = gates.double().logit().clamp(-LIMIT, LIMIT)
    assert (found.logit() - logit).abs().max() <= LIMIT / 255 + 1e-4


def test_a_moment_is_taken_out_by_time_and_unit(in_node):
    gates = torch.rand(3, 4, 5)  # moments, units, steps
    found = in_node(EXPLORER, "momentOf", [(gates.flatten().tolist(), 2, 4, 5)])[0]
    torch.testing.assert_close(torch.tensor(found).reshape(5, 4), gates[2].T)


def test_the_file_says_where_it_comes_from():
    assert STORED["runs"].keys() == set(METHODS)
    assert STORED["moments"] == list(MOMENTS)
    assert STORED["parameters"]["seed"] == 0
    assert (root() / STORED["command"].split()[-1]).is_file()
    for run in STORED["runs"].values():
        assert re.fullmatch("[0-9a-f]{12}", run["commit"]), "made by edited code"
        assert run["device"] and run["versions"]["torch"]
        assert run["status"] == "finished"


def test_it_is_small_and_the_button_says_how_small():
    size = len((root() / FILE).read_bytes())
    assert f"about {size / 1e6:.1f} MB" in GateExplorer._esm and size < 1e6
    assert len(json.dumps(GateExplorer().get_state())) < 60_000  # without the data


@pytest.mark.parametrize("name", METHODS)
def test_the_first_moment_is_the_model_before_training(in_node, name):
    task = Copy(TIMES - 20, seed=0)
    x, target = task.validation()[0]
    model = build(task, LSTM, UNITS, 0, gate=name)
    seen = Snapshots(model, x[:, : STORED["sequences"]], [0])
    seen(0)
    run = STORED["runs"][name]
    means = unpacked(in_node, run["means"]).reshape(len(MOMENTS), UNITS)[0]
    gates = unpacked(in_node, run["gates"]).reshape(len(MOMENTS), UNITS, TIMES)[0]
    wanted = seen.gates[0]
    near = {"rtol": 0, "atol": 0.02}  # a level is 0.016 where the gate is 1/2
    torch.testing.assert_close(gates.T, wanted[:, 0], **near)
    torch.testing.assert_close(means, wanted[10:-10].mean((0, 1)), **near)
    digits = seen.outputs[0].argmax(-1).flatten().tolist()
    same = sum(int(a) == b for a, b in zip(run["answers"][0], digits, strict=True))
    assert same > 0.95 * len(digits)  # two are as good to rounding on other machines
    tokens = target[:, : STORED["sequences"]].flatten().tolist()
    assert STORED["target"] == "".join(map(str, tokens))


def test_they_are_the_stored_runs_of_another_page():
    kept = load("memory/scaling", "laptop")
    same = [r for r in kept if r["seed"] == 0 and r["parameters"]["length"] == 40]
    names = {run["name"] for run in same} & set(METHODS)
    assert names == {"LSTM", "C", "UR"}
    for run in same:
        if run["name"] in names:
            found = STORED["runs"][run["name"]]["curves"]["loss"]
            shared = min(len(found), len(run["curves"]["loss"]))
            assert shared > 25
            wanted = run["curves"]["loss"][:shared]
            assert found[:shared] == pytest.approx(wanted, abs=6e-5)


def test_what_the_page_says_of_the_runs(in_node):
    def at(name: str, step: int) -> tuple[int, float]:
        means = unpacked(in_node, STORED["runs"][name]["means"])
        one = means.reshape(len(MOMENTS), UNITS)[MOMENTS.index(step)]
        curves = STORED["runs"][name]["curves"]
        loss = curves["loss"][curves["step"].index(step)]
        return int((1 / (1 - one) > 40).sum()), round(loss, 2)

    assert [at("UR", s)[0] for s in (0, 600, 1000)] == [0, 22, 30]
    assert [at("UR", s)[1] for s in (600, 1000, 3200)] == [1.60, 0.88, 0.18]
    assert {at("LSTM", s)[0] for s in MOMENTS} == {0}
    assert [at("LSTM", s)[1] for s in (2200, 3200)] == [2.08, 2.05]
    assert at("C", 0)[0] == 92 and at("U", 3200)[0] == 24
    assert {at("U", s)[0] for s in (1000, 1200, 1400, 1600)} == {12}
    waits = [("C", s) for s in (400, 800, 1400)] + [("U", s) for s in (800, 1600)]
    assert all(abs(at(*each)[1] - 1.67) < 0.025 for each in waits)


def test_a_kernel_sends_the_data_when_it_is_opened():
    widget = GateExplorer(left="U", moment=3, order="end")
    assert widget._moments == ""
    widget.opened = True
    assert json.loads(widget._moments) == STORED
    assert repr(widget) == ("GateExplorer(left='U', right='UR', moment=3, order='end')")


@pytest.mark.parametrize(
    ("name", "value"),
    [("left", "OM"), ("right", ""), ("order", "size"), ("moment", len(MOMENTS))],
)
def test_other_values_are_refused(name, value):
    with pytest.raises(ValueError, match=f"^{name} is .*; allowed: "):
        GateExplorer(**{name: value})
    with pytest.raises(ValueError, match=f"^{name} is .*; allowed: "):
        setattr(GateExplorer(), name, value)
