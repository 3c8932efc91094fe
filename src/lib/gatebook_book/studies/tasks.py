"""An experiment of a page: models that are trained, looked at, and stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gatebook.errors import check_choice
from gatebook.memory import DNC, RMC
from gatebook.rnn.module import GRU, LSTM
from gatebook.rnn.record import unit_means
from gatebook.tasks.base import Task
from gatebook.training import (
    History,
    Job,
    Plan,
    SequenceModel,
    build,
    evaluate,
    fit_together,
)
from torch import nn

from gatebook_book.runs.progress import show_progress
from gatebook_book.runs.statistics import first_below
from gatebook_book.runs.store import Run, Store, read
from gatebook_book.tasks.pixels import Pixels

CORES: dict[str, Callable[..., nn.Module]] = {
    "LSTM": LSTM,
    "GRU": GRU,
    "RMC": RMC,
    "DNC": DNC,
}
"""The cores by the names that pages give them."""

Measure = Callable[[nn.Module, Task, History], dict[str, float]]
"""A run's figures, taken at its end."""

Look = Callable[[nn.Module, Task], Any]
"""Something to see in a model, as JSON can hold it."""


@dataclass(frozen=True)
class Point:
    """One run of an experiment: a model, a task, a plan and a seed.

    Arguments:
        name: the method, as figures and tables call it.
        seed: decides the weights and the model's random streams.
        task: with its own seed.
        plan: how to train.
        hidden_size: H; of an RMC the width of a slot.
        core: one of `CORES`.
        options: of the module and the head: ``gate``, ``h_detach``, ``zoneout``,
            ``head_size``, …
    """

    name: str
    seed: int
    task: Task
    plan: Plan
    hidden_size: int
    core: str = "LSTM"
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        check_choice("core", self.core, tuple(CORES))

    def parameters(self) -> dict[str, Any]:
        """All that decides the run's numbers; a stored run is found by it."""
        options = {k: plain(v) for k, v in self.options.items()}
        model = {"core": self.core, "hidden_size": self.hidden_size}
        return {**self._data(), **model, **options, **asdict(self.plan)}

    def _data(self) -> dict[str, Any]:
        """The task's fields; its seed only where it is not the run's own."""
        other = self.task.seed != self.seed
        return self.task.describe() | ({"task_seed": self.task.seed} if other else {})

    def build(self, device: str = "cpu") -> nn.Module:
        """The model, untrained."""
        kind = CORES[self.core]
        model = build(self.task, kind, self.hidden_size, self.seed, **self.options)
        return model.to(device)


def last_scores(model: nn.Module, task: Task, history: History) -> dict[str, float]:
    """The last value of each score on the validation set."""
    return {k: history.last(k) for k in history.curves if k != "step"}


def last_scores_and_step_at(level: float, steps: int) -> Measure:
    """Makes a measure: `last_scores`, and when the loss was first that low.

    Arguments:
        level: of the loss, at or below which the task counts as solved.
        steps: of the plan, which stand for a task that was never solved.

    Returns:
        a measure that adds ``solved_at``, an evaluated step.
    """

    def measure(model: nn.Module, task: Task, history: History) -> dict[str, float]:
        step = min(first_below(history.curves, "loss", level), steps)
        return last_scores(model, task, history) | {"solved_at": step}

    return measure


def image_scores(model: nn.Module, task: Pixels, history: History) -> dict[str, float]:
    """A run on images: where it ended, and how it went there.

    Returns:
        ``accuracy`` on the test images, NaN for a diverged run; of the accuracy on
        the held-out images the highest value, ``best_validation``, the mean over the
        evaluations, ``mean_validation``, and the largest fall below an earlier
        value, ``fall``.
    """
    whole = history.status == "finished"
    test = evaluate(model, task, task.test()) if whole else {"accuracy": float("nan")}
    return {
        "accuracy": test["accuracy"],
        "best_validation": history.best("accuracy"),
        "mean_validation": history.mean("accuracy"),
        "fall": history.fall("accuracy"),
    }


def forget_gates(model: nn.Module, task: Task) -> list[float]:
    """A look: each unit's mean effective forget gate on the validation set.

    Padding is left out.
    """
    assert isinstance(model, SequenceModel)
    x, _ = task.validation()[0]
    x = x.to(next(model.parameters()).device)
    return unit_means(model, x, steps=model.real_steps(x) if model.padded else None)


def train_all(
    store: Store,
    points: Sequence[Point],
    *,
    measure: Measure = last_scores,
    looks: Mapping[str, Look] | None = None,
) -> list[Run]:
    """Train every point that has no stored run yet.

    Arguments:
        store: of the page that calls.
        points: the runs, in the order of the result.
        measure: the figures of a run's end.
        looks: what else to keep: under each name, ``{"before": …, "after": …}`` from
            the model before and after its training (after: ``None`` if it diverged).

    Returns:
        the stored runs.

    Raises:
        ValueError: before anything is trained, if a stored run lacks one of the looks.

    Example:
        >>> from gatebook.tasks import Copy
        >>> point = Point("UR", 0, Copy(3), Plan(2), 8, options={"gate": "UR"})
        >>> import pathlib, tempfile
        >>> store = Store("memory/copy", folder=pathlib.Path(tempfile.mkdtemp()))
        >>> train_all(store, [point])[0]["status"]
        'finished'
    """
    _check_looks(store, points, looks or {})
    runs: dict[int, Run] = {}
    for places in _groups(points, store.device):
        group = [points[k] for k in places]
        found = _train(store, group, measure, looks or {})
        runs |= dict(zip(places, found, strict=True))
    return [runs[k] for k in range(len(points))]


def _check_looks(
    store: Store, points: Sequence[Point], looks: Mapping[str, Look]
) -> None:
    for point in points if looks else ():
        file = store.file(point.name, point.seed, point.parameters())
        missing = looks.keys() - read(file).keys() if file.exists() else ()
        if missing:
            raise ValueError(
                f"looks has {', '.join(sorted(missing))}, which the stored run {file} "
                "lacks; delete it to have it made again"
            )


AT_ONCE = 12
"""Models that are trained side by side at most; each needs memory of its own."""


def _groups(points: Sequence[Point], device: str) -> list[list[int]]:
    """Places of the points that train side by side: on a GPU, those of one shape.

    A CPU is full with one. There each run is stored before the next one begins.
    """
    if not device.startswith("cuda"):
        return [[k] for k in range(len(points))]
    alike: dict[Any, list[int]] = {}
    for k, point in enumerate(points):
        alike.setdefault(_shape(point), []).append(k)
    return [
        places[k : k + AT_ONCE]
        for places in alike.values()
        for k in range(0, len(places), AT_ONCE)
    ]


def _shape(point: Point) -> tuple[Any, ...]:
    """What points must share to train side by side."""
    x, _ = point.task.batch(0)
    sizes = [point.options.get(k) for k in ("num_layers", "bidirectional")]
    return (point.core, point.hidden_size, tuple(x.shape), *sizes)


def _train(
    store: Store, points: Sequence[Point], measure: Measure, looks: Mapping[str, Look]
) -> list[Run]:
    def work(missing: dict[int, Path]) -> dict[int, Run]:
        chosen = {k: points[k] for k in missing}
        models = {k: point.build(store.device) for k, point in chosen.items()}
        before = {k: _look(models[k], chosen[k], looks) for k in chosen}
        jobs = [
            Job(models[k], point.task, point.plan, missing[k], _speaker(point))
            for k, point in chosen.items()
        ]
        histories = dict(zip(chosen, fit_together(jobs), strict=True))
        return {
            k: _fields(models[k], chosen[k], histories[k], before[k], measure, looks)
            for k in chosen
        }

    wanted = [(point.name, point.seed, point.parameters()) for point in points]
    return store.run_many(wanted, work)


def _look(model: nn.Module, point: Point, looks: Mapping[str, Look]) -> dict[str, Any]:
    return {name: look(model, point.task) for name, look in looks.items()}


def _fields(
    model: nn.Module,
    point: Point,
    history: History,
    before: dict[str, Any],
    measure: Measure,
    looks: Mapping[str, Look],
) -> Run:
    """What is stored of a run, its place and provenance aside."""
    whole = history.status == "finished"
    after = _look(model, point, looks) if whole else dict.fromkeys(looks)
    return {
        "status": history.status,
        "metrics": measure(model, point.task, history),
        "curves": history.curves,
        "parameter_count": sum(p.numel() for p in model.parameters()),
        "seconds": history.seconds,
        **{k: {"before": before[k], "after": after[k]} for k in looks},
    }


def _speaker(point: Point) -> Callable[[str], None]:
    """Progress lines that begin with the point's name and seed."""
    return lambda line: show_progress(f"{point.name} seed {point.seed}: {line}")


def plain(value: Any) -> Any:
    """An option as JSON holds it; a gate without a name as its text."""
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return [plain(v) for v in value] if isinstance(value, tuple | list) else str(value)
