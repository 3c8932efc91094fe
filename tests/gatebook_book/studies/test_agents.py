"""Agents of a page: what is stored of them, and under which key."""

import dataclasses
import os
import signal

import pytest
from gatebook.agents import A2C, fit
from gatebook.match import Labelled, Match
from gatebook.training import History, Plan
from gatebook_book.runs.store import Store
from gatebook_book.studies import agents
from gatebook_book.studies.agents import Asked, Trial, final, train_agents
from gatebook_book.studies.tasks import train_all

MATCH = Match(explore=1, delay=1, choose=2)
RECIPE = A2C(3, batch_size=4, note_every=1)


def trial(gate="UR", seed=0, **options):
    given = {"match": MATCH, "recipe": RECIPE, "hidden_size": 6} | options
    return Trial(gate, seed, options={"gate": gate}, **given)


@pytest.fixture
def store(tmp_path):
    return Store("memory/agents", folder=tmp_path)


def test_an_agent_is_trained_once_and_stored_whole(store):
    trials = [trial("LSTM"), trial("UR")]
    runs = train_agents(store, trials)
    assert [run["name"] for run in runs] == ["LSTM", "UR"]
    for run in runs:
        assert run["status"] == "finished"
        assert run["curves"]["step"] == [1, 2, 3]
        assert {"score", "mean_score", "seen", "pressed"} <= run["metrics"].keys()
        gates = run["gates"]
        assert len(gates) == MATCH.length and len(gates[0]) == 6
        assert all(0 <= value <= 1 for row in gates for value in row)
    assert train_agents(store, trials) == runs
    assert len(list(store.path.glob("*.json"))) == 2


OTHERS = [
    {"match": dataclasses.replace(MATCH, delay=2)},
    {"match": dataclasses.replace(MATCH, mode="active")},
    {"recipe": dataclasses.replace(RECIPE, discount=0.9)},
    {"hidden_size": 5},
    {"core": "GRU"},
    {"after": trial()},
]


@pytest.mark.parametrize("other", OTHERS)
def test_what_decides_the_numbers_decides_the_file(store, other):
    files = [
        store.file(t.name, t.seed, t.parameters()) for t in (trial(), trial(**other))
    ]
    assert files[0] != files[1]


def test_a_core_whose_gates_have_other_shapes_is_not_looked_at(store):
    run = train_agents(store, [trial(core="RMC", hidden_size=8)])[0]
    assert run["gates"] is None and run["status"] == "finished"


def test_final_figures_are_means_over_the_last_tenth():
    curve = [float(k) for k in range(20)]
    history = History({"step": curve, "score": curve, "seen": [1.0] * 20})
    assert final(history) == {"score": 18.5, "seen": 1.0, "mean_score": 9.5}
    short = History({"step": [1, 2], "score": [3.0, 5.0]})
    assert final(short)["score"] == 5


def test_the_control_trains_the_agents_network_on_labels(store):
    task = Labelled(MATCH, batch_size=4, validation_size=8)
    point = Asked("UR", 0, task, Plan(2), 6, options={"gate": "UR"})
    network = point.build().network
    assert network.policy[-1].out_features == 4
    (run,) = train_all(store, [point])
    assert 0 <= run["metrics"]["accuracy"] <= 1
    assert run["parameters"]["task"] == "match, labelled"


def test_a_second_training_goes_on_with_the_weights_of_the_first(store, tmp_path):
    harder = dataclasses.replace(MATCH, mode="active")
    both = trial(match=harder, after=trial())
    said = both.parameters()
    assert said["mode"] == "active" and said["after.mode"] == "passive"
    assert said["after.updates"] == RECIPE.updates

    network = trial().build()
    fit(network, MATCH, RECIPE, seed=0)
    curves = fit(network, harder, RECIPE, seed=0).curves
    assert train_agents(store, [both])[0]["curves"] == curves
    assert not list(store.path.rglob("*.safetensors"))


def test_trainings_one_after_the_other_go_on_where_they_were_stopped(store):
    harder = dataclasses.replace(MATCH, mode="active")
    both = trial(match=harder, after=trial())
    whole = train_agents(store, [both])[0]["curves"]
    for stopped_in in ("passive", "active"):
        store.path.joinpath(store.file("UR", 0, both.parameters()).name).unlink()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(agents, "show_progress", stop_at(stopped_in))
            with pytest.raises(KeyboardInterrupt):
                train_agents(store, [both])
        assert train_agents(store, [both])[0]["curves"] == whole


def stop_at(place):
    """Presses Ctrl-C after the second batch of a training."""

    def show(line):
        if place in line and "step 2/" in line:
            os.kill(os.getpid(), signal.SIGINT)

    return show
