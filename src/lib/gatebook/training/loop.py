"""One training loop for all tasks and models."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gatebook.errors import (
    check_count,
    check_flag,
    check_positive,
    check_probability,
)
from gatebook.gates import Full
from gatebook.modes import evaluating
from gatebook.random import Streams, dropped
from gatebook.rnn import RNN, fit_each_other, together
from gatebook.tasks.base import Batch, Task, validation_sets
from gatebook.training import interrupts
from gatebook.training.checkpoint import load_checkpoint, parts, save_checkpoint
from gatebook.training.step import clipped_step


class Dropout(nn.Module):
    """Dropout that draws from a model's own stream, so that its seed decides it.

    Arguments:
        p: probability that a value is set to 0 in training.
        streams: the model's.
    """

    def __init__(self, p: float, streams: Streams):
        super().__init__()
        check_probability("head_dropout", p)
        self.p, self.streams = p, streams

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Zeros with probability p, the others divided by 1 - p."""
        if not self.training or self.p == 0:
            return x
        return dropped(x, self.p, self.streams["head", x.device])

    def extra_repr(self) -> str:
        """Its probability; a checkpoint distinguishes models by it."""
        return f"p={self.p}"


class SequenceModel(nn.Module):
    """A recurrent layer and a head that reads some of its steps.

    Arguments:
        rnn: a core of this library or one of torch's own, with time first.
        output_size: K, the head's outputs.
        steps_read: S, how many steps the head reads, at least 1: the last ones.
        head_size: width of a ReLU layer before the output; 0 for none (P2 D.2
            has 256 for images, P3 none).
        head_dropout: probability of dropout on that layer (P2 D.2: 0.5 where there
            is zoneout); needs gatebook's own ``rnn``.
        head_layers: how many such layers (Santoro et al. 2018: 4 on programs).
        padded: whether sequences of different lengths end in zero vectors. The head
            then reads the first S of these, which follow a sequence's own last step.

    Raises:
        ValueError: for a size or probability that is not allowed, or an ``rnn`` with
            the batch first; in a pass, for a sequence shorter than ``steps_read``.
    """

    def __init__(
        self,
        rnn: nn.Module,
        output_size: int,
        steps_read: int,
        head_size: int = 0,
        head_dropout: float = 0.0,
        head_layers: int = 1,
        padded: bool = False,
    ):
        super().__init__()
        check_count("output_size", output_size)
        check_count("steps_read", steps_read)
        check_count("head_size", head_size, least=0)
        check_count("head_layers", head_layers)
        check_flag("padded", padded)
        if rnn.batch_first:
            raise ValueError(
                "batch_first of rnn is True; allowed: False: tasks have time first"
            )
        streams = getattr(rnn, "streams", None)  # which torch's own do not have
        if head_dropout and not (head_size and streams):
            raise ValueError(
                f"head_dropout is {head_dropout!r}; allowed: 0 where head_size is 0 "
                "or rnn is torch's own"
            )
        self.rnn, self.steps_read, self.padded = rnn, steps_read, padded
        width = output_width(rnn)
        hidden: list[nn.Module] = []
        for _ in range(head_layers if head_size else 0):
            hidden += [nn.Linear(width, head_size), nn.ReLU()]
            if head_dropout and streams:
                hidden.append(Dropout(head_dropout, streams))
            width = head_size
        self.head = nn.Sequential(*hidden, nn.Linear(width, output_size))

    def forward(self, x: Float[Tensor, "T B I"]) -> Float[Tensor, "S B K"]:
        """Outputs of the head on the steps that it reads."""
        return self.read(self.rnn(x)[0], x)

    def read(
        self, hidden: Float[Tensor, "T B H"], x: Float[Tensor, "T B I"]
    ) -> Float[Tensor, "S B K"]:
        """Outputs of the head on the steps that it reads of a core's output."""
        if len(hidden) < self.steps_read:
            raise ValueError(
                f"steps_read is {self.steps_read}, but the sequence has {len(hidden)} "
                "steps; allowed: at most as many"
            )
        if not self.padded:
            return self.head(hidden[-self.steps_read :])
        places = self._places(x)[..., None].expand(-1, -1, hidden.shape[-1])
        return self.head(hidden.gather(0, places))

    def real_steps(self, x: Float[Tensor, "T B I"]) -> Bool[Tensor, "T B"]:
        """Which steps are read or lead to one that is; the others are padding."""
        last = self._places(x)[-1] if self.padded else x.new_tensor(len(x))
        return torch.arange(len(x), device=x.device)[:, None] <= last.expand(x.shape[1])

    def _places(self, x: Float[Tensor, "T B I"]) -> Int[Tensor, "S B"]:
        """The steps that are read, the first ones after each sequence's end."""
        lengths = (x != 0).any(-1).sum(0)
        longest = int(lengths.max())
        if longest + self.steps_read > len(x):
            raise ValueError(
                f"the sequence has {len(x)} steps, the longest input in it {longest}; "
                f"allowed: at least {self.steps_read} zero vectors after each input"
            )
        return lengths + torch.arange(self.steps_read, device=x.device)[:, None]


def output_width(rnn: nn.Module) -> int:
    """The features of a core's output at a step, this library's or torch's own."""
    if isinstance(rnn, nn.RNNBase):
        return rnn.hidden_size * (2 if rnn.bidirectional else 1)
    width = rnn.output_width
    assert isinstance(width, int)
    return width


def build(
    task: Task,
    kind: Callable[..., nn.Module],
    hidden_size: int,
    seed: int,
    **options: Any,
) -> SequenceModel:
    """A model for a task; ``seed`` decides its weights and its random streams.

    Arguments:
        task: gives the widths.
        kind: `gatebook.LSTM` or another core of this library.
        hidden_size: H, the units of an LSTM, a GRU or a DNC's controller; of an RMC
            the width of a slot.
        seed: the run's seed. Torch's default generator is left as it was.
        options: ``head_size``, ``head_layers`` and ``head_dropout``, and whatever
            ``kind`` takes (``gate``, ``h_detach``).
    """
    words = ("head_size", "head_layers", "head_dropout")
    head = {k: options.pop(k) for k in words if k in options}
    head["padded"] = getattr(task, "padded", False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rnn = kind(task.input_size, hidden_size, seed=seed, **options)
        return SequenceModel(rnn, task.output_size, task.steps_read, **head)


@dataclass
class History:
    """The record of a run.

    ``curves`` holds lists of equal length: ``step`` and one per score; ``loss`` there
    is the validation's. ``train_loss`` is the mean since the last evaluation.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0
    diverged_at: int | None = None

    @property
    def status(self) -> str:
        """``"finished"`` or ``"diverged"``."""
        return "finished" if self.diverged_at is None else "diverged"

    def note(self, step: int, scores: dict[str, float]) -> None:
        """Append one evaluation."""
        for name, value in ({"step": step} | scores).items():
            self.curves.setdefault(name, []).append(value)

    def best(self, score: str) -> float:
        """The highest value that ``score`` reached; NaN if none was taken."""
        return max(self.curves.get(score, []), default=float("nan"))

    def mean(self, score: str) -> float:
        """The mean of ``score`` over the evaluations: high if a model learns early."""
        values = self.curves.get(score, [])
        return sum(values) / len(values) if values else float("nan")

    def fall(self, score: str) -> float:
        """The most by which ``score`` ever lay below an earlier value; at least 0."""
        values = self.curves.get(score, [float("nan")])
        peaks = itertools.accumulate(values, max)
        return max(peak - value for peak, value in zip(peaks, values, strict=True))

    def last(self, score: str) -> float:
        """The last value of ``score``; NaN if none was taken."""
        return self.curves.get(score, [float("nan")])[-1]


@dataclass(frozen=True)
class Plan:
    """How to train: Adam, a clipped gradient, evaluation at regular steps.

    Arguments:
        steps: gradient steps.
        learning_rate: Adam's.
        clip: largest gradient norm; ``None`` leaves it as it is.
        evaluate_every: steps between evaluations.
        anneal: share of the run's end without detaching (P3's code: the last 39
            of 600 epochs, so 0.065; its report does not mention it). After the run
            the model detaches as before.
    """

    steps: int
    learning_rate: float = 1e-3
    clip: float | None = 1.0
    evaluate_every: int = 100
    anneal: float = 0.0

    def __post_init__(self):
        check_count("steps", self.steps)
        check_count("evaluate_every", self.evaluate_every)
        check_positive("learning_rate", self.learning_rate)
        check_probability("anneal", self.anneal)
        if self.clip is not None:
            check_positive("clip", self.clip)

    def done(self, history: History) -> bool:
        """Whether the run has come to its end."""
        return history.step >= self.steps


@dataclass(frozen=True)
class Until(Plan):
    """A plan that ends when the validation loss is low enough, or at ``steps``.

    The loss is known at evaluations only, so that a run may go on for up to
    ``evaluate_every`` steps after it has reached the goal.

    Arguments:
        goal: the run ends at an evaluation with a loss at or below this value.

    Example:
        >>> plan = Until(1000, goal=0.1)
        >>> plan.done(History({"loss": [2.0, 0.09]}, step=200))
        True
    """

    goal: float = field(kw_only=True)

    def __post_init__(self):
        super().__post_init__()
        check_positive("goal", self.goal)

    def done(self, history: History) -> bool:
        """Whether the goal or the last step was reached."""
        return super().done(history) or history.last("loss") <= self.goal


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
            others.
    """
    _check_dropout_of_several(jobs)
    runs = [_Training(job) for job in jobs]
    saved = time.monotonic()
    with _cores_restored([job.model for job in jobs]), interrupts.held() as came:
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


class _Training:
    """A model in training: its optimiser, its curves, and how far it has come."""

    def __init__(self, job: Job):
        self.model, self.task, self.plan = job.model, job.task, job.plan
        self.checkpoint, self.report = job.checkpoint, job.report
        self.watch = job.watch
        rate = job.plan.learning_rate
        self.optimizer = torch.optim.Adam(job.model.parameters(), lr=rate)
        self.history = History()
        self.recent: list[float] = []
        self.device = _device(job.model)
        made_with = asdict(job.plan) | {"device": self.device.type}
        self.made_with = made_with | _words_of(job.task) | parts(job.model)
        self.validation = validation_sets(job.task)

    def begin(self) -> None:
        """Go on from the checkpoint, or take the first scores."""
        if self.checkpoint is not None and self.checkpoint.exists():
            arguments = (self.checkpoint, self.model, self.optimizer, self.made_with)
            progress = load_checkpoint(*arguments)
            self.history = History(**progress["history"])
            self.recent = progress["recent"]
        self.started = time.monotonic() - self.history.seconds
        if not self.history.curves:
            scores = self.scores()
            self.note(scores | {"train_loss": float("nan")})
        if not self.model.training:  # else its frozen parts stay frozen
            self.model.train()

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

    def store(self) -> None:
        """Write the checkpoint, if there is to be one."""
        self.history.seconds = time.monotonic() - self.started
        if self.checkpoint is not None:
            state = {"history": asdict(self.history), "recent": self.recent}
            arguments = (self.checkpoint, self.model, self.optimizer)
            save_checkpoint(*arguments, state, self.made_with)

    def end(self) -> History:
        """The curves of the whole run."""
        self.history.seconds = time.monotonic() - self.started
        return self.history


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


def _anneal(model: nn.Module, plan: Plan, step: int) -> None:
    """Switch detaching off for the last share of the run."""
    if plan.anneal and step >= plan.steps * (1 - plan.anneal):
        for module in model.modules():
            if isinstance(module, RNN) and module.gate.gradient != Full():
                module.set_detach(0.0)


@contextlib.contextmanager
def _cores_restored(models: Sequence[nn.Module]) -> Iterator[None]:
    """Whatever happens within, detaching has its probability again afterwards."""
    rnns = [m for model in models for m in model.modules() if isinstance(m, RNN)]
    cores = [rnn.core for rnn in rnns]
    try:
        yield
    finally:
        for rnn, core in zip(rnns, cores, strict=True):
            rnn.core = core


def _device(model: nn.Module) -> torch.device:
    return next(model.parameters()).device


def progress_line(
    step: int, steps: int, seconds: float, scores: dict[str, float]
) -> str:
    """``step 200/1000 · 12 s, 48 s left · loss 1.234 · …``."""
    left = seconds / max(step, 1) * (steps - step)
    shown = " · ".join(f"{k} {v:.4f}" for k, v in scores.items())
    return f"step {step}/{steps} · {seconds:.0f} s, {left:.0f} s left · {shown}"
