"""An experiment: every point is trained once, and its run says what it was."""

import math
from pathlib import Path

import pytest
from gatebook import LSTM
from gatebook.gates import resolve
from gatebook.rnn.record import unit_means
from gatebook.tasks import Adding, Copy
from gatebook.training import History, Plan, build, fit
from gatebook_book.runs.store import Store
from gatebook_book.studies import tasks as experiment
from gatebook_book.studies.tasks import (
    Point,
    forget_gates,
    image_scores,
    last_scores_and_step_at,
    train_all,
)
from gatebook_book.tasks import Pixels


def point(seed: int = 0, name: str = "UR", steps: int = 3, **options) -> Point:
    task = Copy(2, 4, seed=seed, validation_size=8)
    given = {"gate": name} | options
    return Point(name, seed, task, Plan(steps, 1e-2), 6, options=given)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store("memory/copy", folder=tmp_path)


def test_a_run_has_the_numbers_of_a_model_that_is_trained_by_hand(store):
    run = train_all(store, [point()])[0]
    model = build(point().task, LSTM, 6, 0, gate="UR")
    history = fit(model, point().task, point().plan)
    assert run["curves"]["loss"] == history.curves["loss"]
    assert run["metrics"]["loss"] == history.last("loss")
    assert run["parameter_count"] == sum(p.numel() for p in model.parameters())


def test_what_is_stored_is_not_trained_again(store, monkeypatch):
    points = [point(0), point(1)]
    first = train_all(store, points)
    monkeypatch.setattr("gatebook_book.studies.tasks.fit_together", None)
    assert train_all(store, points[::-1]) == first[::-1]


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"steps": 4},
        {"h_detach": 0.25},
        {"zoneout": (0.1, 0.0)},
        {"name": "U"},
    ],
)
def test_points_that_differ_have_files_of_their_own(store, other):
    train_all(store, [point(), point(**other)])
    assert len(store.load()) == 2


SIZES = [{}, {"batch_size": 5}, {"validation_size": 9}, {"seed": 7}]


@pytest.mark.parametrize("kind", [Adding, Copy])
def test_a_point_whose_task_differs_has_a_file_of_its_own(store, kind):
    task = {"length": 4, "batch_size": 4, "seed": 0, "validation_size": 8}
    points = [Point("UR", 0, kind(**task | one), Plan(3), 6) for one in SIZES]
    files = {store.file("UR", 0, point.parameters()) for point in points}
    assert len(files) == len(SIZES)
    assert points[3].parameters()["task_seed"] == 7
    assert "task_seed" not in points[0].parameters()


def test_looks_are_taken_before_and_after(store):
    def weight(model, task):
        return model.head[0].weight[0, 0].item()

    run = train_all(store, [point()], looks={"weight": weight})[0]
    untrained = build(point().task, LSTM, 6, 0, gate="UR")
    assert run["weight"]["before"] == weight(untrained, None)
    assert run["weight"]["after"] != run["weight"]["before"]


def test_a_stored_run_without_a_look_is_named_before_any_training(store, monkeypatch):
    one = lambda model, task: 1  # noqa: E731
    train_all(store, [point(1)], looks={"one": one})
    monkeypatch.setattr("gatebook_book.studies.tasks.fit_together", None)
    assert train_all(store, [point(1)])[0]["one"]["after"] == 1
    looks = {"one": one, "two": one}
    with pytest.raises(ValueError, match="two, .* run .*UR-seed1-.*json lacks; delete"):
        train_all(store, [point(0), point(1)], looks=looks)


def test_a_diverged_run_is_stored_without_a_look_at_its_end(store):
    class Broken(Copy):
        def loss(self, prediction, target):
            return super().loss(prediction, target) * float("nan")

    broken = Point("UR", 0, Broken(2, 4), Plan(3), 6, options={"gate": "UR"})
    run = train_all(store, [broken], looks={"one": lambda model, task: 1})[0]
    assert run["status"] == "diverged"
    assert run["one"] == {"before": 1, "after": None}


def test_a_measure_decides_the_metrics(store):
    run = train_all(store, [point()], measure=lambda m, t, h: {"steps": h.step})[0]
    assert run["metrics"] == {"steps": 3}


def test_a_gate_without_a_name_is_stored_as_text(store):
    gate = resolve("UR")
    run = train_all(
        store, [Point("own", 0, point().task, Plan(1), 6, options={"gate": gate})]
    )[0]
    assert run["parameters"]["gate"] == str(gate)


def test_a_gru_is_a_gru(store):
    made = Point("UR", 0, point().task, Plan(1), 6, "GRU", {"gate": "UR"}).build()
    assert type(made.rnn).__name__ == "GRU"


def test_an_unknown_core_is_named(store):
    with pytest.raises(ValueError, match="unknown core 'LTSM'; did you mean 'LSTM'"):
        Point("UR", 0, point().task, Plan(1), 6, "LTSM")


def test_the_scores_of_a_run_on_images():
    task = Pixels(pool=4, source="embedded")
    model = build(task, LSTM, 4, 0)
    history = History({"step": [0, 1], "accuracy": [0.5, 0.25]}, step=1)
    scores = image_scores(model, task, history)
    assert 0 <= scores.pop("accuracy") <= 1
    assert scores == {"best_validation": 0.5, "mean_validation": 0.375, "fall": 0.25}
    history.diverged_at = 1
    assert math.isnan(image_scores(model, task, history)["accuracy"])


# -- side by side --------------------------------------------------------------------


def test_on_a_gpu_points_of_one_shape_train_side_by_side():
    points = [point(k, name) for k in range(2) for name in ("UR", "LSTM")]
    points += [point(num_layers=2), point(num_layers=2, dropout=0.5)]
    points += [Point("UR", 0, Copy(9), Plan(1), 6)]
    assert experiment._groups(points, "cuda:0") == [[0, 1, 2, 3], [4, 5], [6]]
    assert experiment._groups(points, "cpu") == [[k] for k in range(7)]


def test_a_group_is_no_larger_than_what_fits():
    sizes = [len(g) for g in experiment._groups([point()] * 30, "cuda")]
    assert sizes == [12, 12, 6]


def test_side_by_side_gives_the_runs_of_each_alone(tmp_path, monkeypatch):
    points = [point(0), point(1), point(0, "LSTM")]
    alone = train_all(Store("memory/copy", folder=tmp_path / "a"), points)
    store = Store("memory/copy", folder=tmp_path / "b")
    looks = {"size": lambda model, task: model.rnn.hidden_size}
    train_all(store, points[1:2], looks=looks)  # one of them is there already
    monkeypatch.setattr(experiment, "_groups", lambda points, device: [[0, 1, 2]])
    found = train_all(store, points, looks=looks)
    for a, b in zip(alone, found, strict=True):
        assert a["curves"] == b["curves"] and a["metrics"] == b["metrics"]
    assert [run["size"] for run in found] == [{"before": 6, "after": 6}] * 3
    assert not list(tmp_path.rglob("*.safetensors")) + list(tmp_path.rglob("*.lock"))


def test_the_look_at_forget_gates_is_each_units_mean_on_the_validation_set():
    made = point()
    model = made.build()
    x, _ = made.task.validation()[0]
    found = forget_gates(model, made.task)
    assert found == unit_means(model, x) and len(found) == made.hidden_size


@pytest.mark.parametrize("level, step", [(0.5, 20), (0.05, 100)])
def test_the_step_at_which_a_task_was_solved_is_measured(level, step):
    made = point()
    history = History()
    for at, loss in ((0, 2.0), (10, float("nan")), (20, 0.5), (30, 0.1)):
        history.note(at, {"loss": loss})
    found = last_scores_and_step_at(level, 100)(made.build(), made.task, history)
    assert found == {"loss": 0.1, "solved_at": step}
