"""One training loop for all tasks and models."""

import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gatebook.gates import Full
from gatebook.modes import evaluating
from gatebook.rnn import RNN, fit_each_other, together
from gatebook.tasks.base import Batch, Task, validation_sets
from gatebook.training import interrupts
from gatebook.training.history import History, progress_line
from gatebook.training.model import SequenceModel
from gatebook.training.plan import Plan
from gatebook.training.step import clipped_step
from gatebook.training.stored import Stored


def evaluate(model: nn.Module, task: Task, batches: list[Batch]) -> dict[str, float]:
    """Mean scores over the examples of ``batches``, in evaluation mode.

    Afterwards, and after an error, each module has the mode that it had.
    """
    total: dict[str, float] = {}
    count = 0
    with evaluating(model):
        for x, target in batches:
            x, target = (t.to(_device(model)) for t in (x, target))
            size = x.shape[1]
            count += size
            for name, value in task.scores(model(x), target).items():
                total[name] = total.get(name, 0.0) + value * size
    return {name: value / count for name, value in total.items()}


def fit(
    model: nn.Module,
    task: Task,
    plan: Plan,
    *,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    report: Callable[[str], None] | None = None,
    watch: Callable[[int], None] | None = None,
) -> History:
    """Train ``model`` on ``task``.

    A loss or gradient that is not finite ends the run as diverged. If the checkpoint
    file exists, the run resumes from it and ends with the same numbers as one without
    interruption; a file of another model, task or plan is refused. (A task is
    identified by the fields of its dataclass and by its description.) On Ctrl-C the
    step is finished, the state is stored, and ``KeyboardInterrupt`` is raised. A second
    Ctrl-C stops at once.

    Arguments:
        model: changed in place; put into training mode unless it already is, so
            that a model in training mode may have parts in evaluation mode.
        task: gives the batch of each step.
        plan: steps, rate, clipping.
        checkpoint: where the state is kept while the run goes on.
        checkpoint_seconds: how often it is stored.
        report: gets a line of progress at each evaluation, for example ``print``.
        watch: gets the steps done at each evaluation, 0 before the first step, and
            may look at the model, for example `gatebook.inside.Snapshots`.

    Returns:
        the curves, with status ``"finished"`` or ``"diverged"``.
    """
    job = Job(model, task, plan, checkpoint, report, watch)
    return fit_together([job], checkpoint_seconds=checkpoint_seconds)[0]


@dataclass(frozen=True)
class Job:
    """One of several models to train; fields as the arguments of `fit`."""

    model: nn.Module
    task: Task
    plan: Plan
    checkpoint: Path | None = None
    report: Callable[[str], None] | None = None
    watch: Callable[[int], None] | None = None


def fit_together(
    jobs: Sequence[Job], *, checkpoint_seconds: float = 60.0
) -> list[History]:
    """Train several models side by side, each as `fit` would alone.

    Every model has its own batches, random streams, optimiser, clipping and
    checkpoint; one that diverges ends, and the others go on. On a GPU, models of
    `SequenceModel` with equal sizes share each step of the recurrence, so that
    twelve cost little more than one.

    Raises:
        ValueError: if one of several models has torch's own dropout, which draws from
            one stream for all of them, so that each model's numbers would depend on the
            others; or if two models share a weight.
    """
    _check_dropout_of_several(jobs)
    _check_apart(jobs)
    runs = [_Training(job) for job in jobs]
    saved = time.monotonic()
    with _detaching_restored([job.model for job in jobs]), interrupts.held() as came:
        for run in runs:
            run.begin()
        while (going := [run for run in runs if run.goes_on()]) and not came:
            _step(going)
            if time.monotonic() - saved > checkpoint_seconds:
                for run in going:
                    run.store()
                saved = time.monotonic()
    if came:
        for run in runs:
            run.store()
        raise KeyboardInterrupt
    return [run.end() for run in runs]


def _check_dropout_of_several(jobs: Sequence[Job]) -> None:
    if len(jobs) < 2:
        return
    for job in jobs:
        for name, module in job.model.named_modules():
            p = module.p if isinstance(module, nn.Dropout) else 0
            if isinstance(module, nn.RNNBase):
                p = module.dropout if module.num_layers > 1 else 0
            if p:
                raise ValueError(
                    f"dropout of {name} is {p}; allowed: 0 for torch's own modules in "
                    "models trained together"
                )


def _check_apart(jobs: Sequence[Job]) -> None:
    """Each model gets the gradient of its own loss, so no weight may be shared."""
    seen: set[int] = set()
    for job in jobs:
        own = {id(p) for p in job.model.parameters()}
        if own & seen:
            raise ValueError(
                "jobs have a weight in common; allowed: models of their own, such as "
                "copy.deepcopy(model)"
            )
        seen |= own


class _Training(Stored):
    """A model in training on a task."""

    def __init__(self, job: Job):
        self.task, self.plan = job.task, job.plan
        self.report, self.watch = job.report, job.watch
        self.recent: list[float] = []
        self.device = _device(job.model)
        self.validation = validation_sets(job.task)
        rate = job.plan.learning_rate
        optimizer = torch.optim.Adam(job.model.parameters(), lr=rate)
        made_with = asdict(job.plan) | {"device": self.device.type}
        made_with |= _words_of(job.task)
        super().__init__(job.model, optimizer, job.checkpoint, made_with)

    def begin(self) -> None:
        """Go on from the checkpoint, or take the first scores."""
        super().begin()
        if not self.history.curves:
            scores = self.scores()
            self.note(scores | {"train_loss": float("nan")})

    def progress(self) -> dict[str, Any]:
        """Losses since the last evaluation."""
        return {"recent": self.recent}

    def resume(self, progress: dict[str, Any]) -> None:
        """Put them back."""
        self.recent = progress["recent"]

    def goes_on(self) -> bool:
        """Whether there is something left to do."""
        return not (self.plan.done(self.history) or self.history.diverged_at)

    def batch(self) -> Batch:
        """Input and target of the step at hand."""
        _anneal(self.model, self.plan, self.history.step)
        x, target = self.task.batch(self.history.step)
        return x.to(self.device), target.to(self.device)

    def update(self, loss: float) -> None:
        """Count a step with this loss, evaluate where the plan says so."""
        history, plan = self.history, self.plan
        self.recent.append(loss)
        if history.step % plan.evaluate_every and history.step != plan.steps:
            return
        scores = self.scores()
        scores["train_loss"] = sum(self.recent) / len(self.recent)
        self.note(scores)
        self.recent.clear()
        if self.report is not None:
            seconds = time.monotonic() - self.started
            self.report(progress_line(history.step, plan.steps, seconds, scores))

    def note(self, scores: dict[str, float]) -> None:
        """Keep the scores of this step, and let who watches look at the model."""
        self.history.note(self.history.step, scores)
        if self.watch is not None:
            self.watch(self.history.step)

    def scores(self) -> dict[str, float]:
        """The scores on all validation sets, each under its set's prefix."""
        return {
            prefix + name: value
            for prefix, batches in self.validation.items()
            for name, value in evaluate(self.model, self.task, batches).items()
        }


def _words_of(task: Task) -> dict[str, str]:
    """What identifies a task: its kind, its data and its fields, as text.

    A field with ``compare=False`` does not make it another task.
    """
    own = {"kind": type(task).__name__} | task.describe()
    if is_dataclass(task):
        own |= {f.name: getattr(task, f.name) for f in fields(task) if f.compare}
    return {f"task.{name}": repr(value) for name, value in own.items()}


def _step(runs: Sequence[_Training]) -> None:
    """One gradient step of each; what is not finite ends its run."""
    batches = [run.batch() for run in runs]
    for run in runs:
        run.optimizer.zero_grad(set_to_none=True)
    predictions = _forward([run.model for run in runs], [x for x, _ in batches])
    losses = [
        run.task.loss(prediction, target)
        for run, prediction, (_, target) in zip(runs, predictions, batches, strict=True)
    ]
    finite = [bool(torch.isfinite(loss)) for loss in losses]
    if any(finite):
        # No weight is shared, so each gets the gradient of its own loss.
        torch.stack(
            [x for x, f in zip(losses, finite, strict=True) if f]
        ).sum().backward()
    for run, loss, fine in zip(runs, losses, finite, strict=True):
        run.history.step += 1
        if fine and clipped_step(run.model, run.optimizer, run.plan.clip):
            run.update(loss.item())
        else:
            run.history.diverged_at = run.history.step


def _forward(models: Sequence[nn.Module], xs: Sequence[Tensor]) -> list[Tensor]:
    """Each model's prediction; those of one shape go through time side by side."""
    ours = [m for m in models if isinstance(m, SequenceModel)]
    rnns = [m.rnn for m in ours if isinstance(m.rnn, RNN)]
    if 1 < len(rnns) == len(models) and fit_each_other(rnns, xs):
        hidden = together(rnns, xs)
        return [m.read(h, x) for m, h, x in zip(ours, hidden, xs, strict=True)]
    return [model(x) for model, x in zip(models, xs, strict=True)]


def _detaching(model: nn.Module) -> list[Any]:
    """The modules of a model that block gradients at random."""
    able: list[Any] = [m for m in model.modules() if hasattr(m, "set_detach")]
    return [m for m in able if m.gate.gradient != Full()]


def _anneal(model: nn.Module, plan: Plan, step: int) -> None:
    """Switch detaching off for the last share of the run."""
    if plan.anneal and step >= plan.steps * (1 - plan.anneal):
        for module in _detaching(model):
            module.set_detach(0.0)


@contextlib.contextmanager
def _detaching_restored(models: Sequence[nn.Module]) -> Iterator[None]:
    """Whatever happens within, detaching has its probability again afterwards."""
    found = [module for model in models for module in _detaching(model)]
    before = [module.gate.gradient for module in found]
    try:
        yield
    finally:
        for module, rule in zip(found, before, strict=True):
            if module.gate.gradient != rule:
                module.set_detach(rule.p)


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device
