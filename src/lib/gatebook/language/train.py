"""Training of language models: NT-ASGD as AWD-LSTM's code has it, and finetuning.

**The trigger.** Plain SGD goes on until the validation loss is above the lowest of all
but the last n values: ``v > min(logs[:-n])``. So says the code; Algorithm 1 of the
preprint has the minimum over the *last* n values, which its authors call a typo (issue
13 of their code). From then on the weights are averaged, and validation is done with
the average.

**One step late.** `torch.optim.ASGD` takes a new learning rate at the next step, not at
this one. Windows of varied length scale the rate, so each step of the averaging phase
has the rate of the window before it. The original code had the same.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.language.corpus import Corpus
from gatebook.language.model import Hidden, LanguageModel, State, detached
from gatebook.language.perplexity import of_loss, part_perplexity
from gatebook.language.reading import check_vocabulary
from gatebook.language.recipe import Recipe
from gatebook.language.windows import columns, draw_length
from gatebook.random import Streams, derive_seed
from gatebook.training import interrupts
from gatebook.training.checkpoint import (
    load_checkpoint,
    parts,
    progress_of,
    save_checkpoint,
)
from gatebook.training.history import History, progress_line
from gatebook.training.step import clipped_step

PHASES = ("training", "finetuning", "done")
CHECK_PARTS = 10
"""Parts that a text is read in at a validation, as in AWD-LSTM's code."""


@dataclass
class Progress:
    """Where a training stands; all of it JSON values.

    ``checks`` are the validation losses of this phase, ``best`` is the lowest of all,
    ``figures`` are the exact perplexities at the end of each phase.
    """

    phase: str = PHASES[0]
    averaging: bool = False
    epoch: int = 0
    row: int = 0
    checks: list[float] = field(default_factory=list)
    best: float | None = None
    recent: list[float] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    switched_at: int | None = None
    history: History = field(default_factory=History)


def fit(
    model: LanguageModel,
    corpus: Corpus,
    recipe: Recipe,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    report: Callable[[str], None] | None = None,
) -> Progress:
    """Train a model; it ends with the weights that were best on the validation text.

    A loss or gradient that is not finite ends the run as diverged. If the checkpoint
    exists, the run resumes from it and ends with the same numbers. On Ctrl-C the step
    is finished, the state is stored, and ``KeyboardInterrupt`` is raised; a second
    Ctrl-C stops at once.

    Arguments:
        model: changed in place.
        corpus: of the model's vocabulary.
        recipe: epochs, rates, optimiser.
        seed: of the windows' lengths.
        checkpoint: where the state is kept while the run goes on.
        checkpoint_seconds: how often it is stored.
        report: gets a line of progress at each validation.

    Returns:
        curves, and as ``figures`` the exact perplexities ``trained_valid``,
        ``trained_test`` and, after finetuning, ``finetuned_valid`` and
        ``finetuned_test``.

    Raises:
        ValueError: before the first step, for a corpus of another vocabulary, one
            that is shorter than a window or than as many windows as there are
            validations in an epoch, or one with too short a validation or test text.
    """
    run = _Training(model, corpus, recipe, seed, checkpoint, report)
    run.begin()
    interrupts.carry_out(run, checkpoint_seconds)
    return run.end()


class _Whole(nn.Module):
    """All tensors of a training: the weights, the best ones, and the state."""

    def __init__(self, model: LanguageModel, batch_size: int, seed: int):
        super().__init__()
        self.model, self.streams = model, Streams(derive_seed(seed, "windows"))
        for name, value in model.state_dict().items():
            self.register_buffer(f"best/{name}".replace(".", "/"), value.clone())
        for k, pair in enumerate(model.start(batch_size)):
            for letter, value in zip("hc", pair, strict=True):
                self.register_buffer(f"{letter}{k}", value)

    @property
    def state(self) -> State:
        layers = range(len(self.model.layers))
        return [(getattr(self, f"h{k}"), getattr(self, f"c{k}")) for k in layers]

    @state.setter
    def state(self, new: State) -> None:
        for k, pair in enumerate(new):
            self._buffers[f"h{k}"], self._buffers[f"c{k}"] = pair

    def keep(self) -> None:
        """These weights are the best so far."""
        for name, value in self.model.state_dict().items():
            self.get_buffer(f"best/{name}".replace(".", "/")).copy_(value)

    def restore(self) -> None:
        """Back to the best weights."""
        names = self.model.state_dict()
        best = {n: self.get_buffer(f"best/{n}".replace(".", "/")) for n in names}
        self.model.load_state_dict(best)


class _Training:
    """A language model in training."""

    def __init__(
        self,
        model: LanguageModel,
        corpus: Corpus,
        recipe: Recipe,
        seed: int,
        checkpoint: Path | None,
        report: Callable[[str], None] | None,
    ):
        check_vocabulary(model, corpus)
        _check_parts(corpus)
        self.model, self.corpus, self.recipe = model, corpus, recipe
        self.checkpoint, self.report = checkpoint, report
        self.device = model.embedding.weight.device
        begins = (corpus.articles or {}).get("train")
        self.text = columns(corpus.train, recipe.batch_size, corpus.eos, begins)
        self.rows = len(self.text.read)
        _check_long_enough(self.rows, recipe)
        self.whole = _Whole(model, recipe.batch_size, seed).to(self.device)
        self.progress = Progress()
        self.optimizer = _optimizer(model, recipe, averaging=False)
        self.made_with = asdict(recipe) | {"corpus": corpus.sum, "seed": seed}
        self.made_with |= {"device": self.device.type} | parts(model)

    # -- begin, go on, end ---------------------------------------------------

    def begin(self) -> None:
        """Go on from the checkpoint, if there is one."""
        if self.checkpoint is not None and self.checkpoint.exists():
            stored = progress_of(self.checkpoint)
            self._make_optimizer(bool(stored["averaging"]))
            arguments = (self.whole, self.optimizer, self.made_with)
            stored = load_checkpoint(self.checkpoint, *arguments)
            history = History(**stored.pop("history"))
            self.progress = Progress(**stored, history=history)
        self.started = time.monotonic() - self.progress.history.seconds
        if not self.model.training:  # else its frozen parts stay frozen
            self.model.train()

    def goes_on(self) -> bool:
        """Whether there is something left to do."""
        history = self.progress.history
        return self.progress.phase != "done" and not history.diverged_at

    def store(self) -> None:
        """Write the checkpoint, if there is to be one."""
        self.progress.history.seconds = time.monotonic() - self.started
        if self.checkpoint is not None:
            arguments = (self.whole, self.optimizer, asdict(self.progress))
            save_checkpoint(self.checkpoint, *arguments, self.made_with)

    def end(self) -> Progress:
        """The curves; the model has its best weights."""
        self.progress.history.seconds = time.monotonic() - self.started
        self.whole.restore()
        return self.progress

    # -- one step ------------------------------------------------------------

    def advance(self) -> None:
        """One window; a validation or a new phase where it is due."""
        progress, before = self.progress, self.progress.row
        if not self._step():
            progress.history.diverged_at = progress.history.step
            return
        # A drawn length may be far above the mean: two that are due are one then.
        if any(before < row <= progress.row for row in self._check_rows()):
            self._check()
        if progress.row >= self.rows:
            progress.row, progress.epoch = 0, progress.epoch + 1
            self.whole.state = self.model.start(self.recipe.batch_size)
            if self._phase_is_over():
                self._next_phase()

    def _step(self) -> bool:
        """A gradient step; ``False`` if something is not finite."""
        recipe, progress = self.recipe, self.progress
        length = recipe.bptt
        if recipe.varied:
            drawn = draw_length(recipe.bptt, self.whole.streams["length", "cpu"])
            length = recipe.length(drawn, progress.phase)
        # The rate goes with the length drawn, even where the text ends before it.
        _set_rate(self.optimizer, recipe.learning_rate * length / recipe.bptt)
        window = self.text.window(progress.row, length, self.device)
        progress.row += len(window.read)
        if self.rows - progress.row == 1:  # TAR needs two steps
            progress.row += 1
        progress.history.step += 1
        hidden = self.model(window.read, self.whole.state, window.begins)
        self.whole.state = detached(hidden.state)
        loss = self.model.mean_nll(hidden.dropped, window.target)
        progress.recent.append(loss.item())
        finite = math.isfinite(progress.recent[-1])
        return finite and self._descend(loss + penalty(hidden, recipe))

    def _descend(self, loss: Tensor) -> bool:
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        return clipped_step(self.model, self.optimizer, self.recipe.clip)

    # -- validation, phases --------------------------------------------------

    def _check_rows(self) -> list[int]:
        """Rows at which a validation is due, the last one the end of the text."""
        checks, last = self.recipe.checks, self.rows
        return [last * (k + 1) // checks for k in range(checks)]

    def _check(self) -> None:
        """Validate; keep the weights if they are the best; pull the trigger."""
        progress = self.progress
        with averaged(self.optimizer):
            found = part_perplexity(self.model, self.corpus, "valid", CHECK_PARTS)
            if progress.best is None or found.loss < progress.best:
                progress.best = found.loss
                self.whole.keep()
        scores = {
            "epoch": progress.epoch + progress.row / self.rows,
            "perplexity": found.value,
            "train_perplexity": of_loss(sum(progress.recent) / len(progress.recent)),
            "averaging": float(progress.averaging),
        }
        progress.history.note(progress.history.step, scores)
        progress.recent.clear()
        self._tell(scores)
        if triggered(found.loss, progress.checks, self.recipe.nonmono):
            self._pull()
        progress.checks.append(found.loss)

    def _pull(self) -> None:
        """From plain to averaged steps; finetuning, which averages, ends."""
        progress = self.progress
        if progress.phase == "finetuning":
            progress.epoch = self.recipe.finetune
        elif self.recipe.optimizer == "NT-ASGD" and not progress.averaging:
            progress.switched_at = progress.history.step
            self._make_optimizer(averaging=True)

    def _phase_is_over(self) -> bool:
        lengths = {"training": self.recipe.epochs, "finetuning": self.recipe.finetune}
        return self.progress.epoch >= lengths[self.progress.phase]

    def _next_phase(self) -> None:
        """Note the exact figures of the phase's best weights, and go on from them."""
        progress = self.progress
        self.whole.restore()
        verb = {"training": "trained", "finetuning": "finetuned"}[progress.phase]
        for name in ("valid", "test"):
            exact = part_perplexity(self.model, self.corpus, name)
            progress.figures[f"{verb}_{name}"] = exact.value
        more = progress.phase == "training" and self.recipe.finetune > 0
        progress.phase = "finetuning" if more else "done"
        progress.epoch, progress.row, progress.checks = 0, 0, []
        self._make_optimizer(averaging=more)

    def _make_optimizer(self, averaging: bool) -> None:
        self.progress.averaging = averaging
        self.optimizer = _optimizer(self.model, self.recipe, averaging)

    def _tell(self, scores: dict[str, float]) -> None:
        if self.report is None:
            return
        progress, recipe = self.progress, self.recipe
        epochs = recipe.epochs if progress.phase == "training" else recipe.finetune
        steps = round(progress.history.step / max(scores["epoch"], 1e-9) * epochs)
        seconds = time.monotonic() - self.started
        line = progress_line(progress.history.step, steps, seconds, scores)
        self.report(f"{progress.phase}, {line}")


def penalty(hidden: Hidden, recipe: Recipe) -> Float[Tensor, ""]:
    """α mean(h²) after dropout + β mean((h_t - h_{t-1})²) before it (AR and TAR)."""
    jumps = hidden.raw[1:] - hidden.raw[:-1]
    return (
        recipe.ar * hidden.dropped.square().mean() + recipe.tar * jumps.square().mean()
    )


def triggered(loss: float, logs: list[float], nonmono: int) -> bool:
    """Whether a validation loss is above the lowest of all but the last n.

    Arguments:
        loss: of this validation.
        logs: of those before it.
        nonmono: n.

    Example:
        >>> triggered(2.0, [3.0, 1.9, 1.8], nonmono=1), triggered(2.0, [1.9], 1)
        (True, False)
    """
    return len(logs) > nonmono and loss > min(logs[:-nonmono])


@contextlib.contextmanager
def averaged(optimizer: torch.optim.Optimizer) -> Iterator[None]:
    """The model has the averaged weights within; without an average, its own."""
    pairs = [(p, s["ax"]) for p, s in optimizer.state.items() if "ax" in s]
    own = [p.detach().clone() for p, _ in pairs]
    with torch.no_grad():
        for p, average in pairs:
            p.copy_(average)
    try:
        yield
    finally:
        with torch.no_grad():
            for (p, _), value in zip(pairs, own, strict=True):
                p.copy_(value)


def _optimizer(
    model: LanguageModel, recipe: Recipe, averaging: bool
) -> torch.optim.Optimizer:
    weights, rate, decay = model.parameters(), recipe.learning_rate, recipe.weight_decay
    if averaging:
        return torch.optim.ASGD(weights, rate, t0=0, lambd=0, weight_decay=decay)
    kinds = {"NT-ASGD": torch.optim.SGD, "Adam": torch.optim.Adam}
    return kinds[recipe.optimizer](weights, rate, weight_decay=decay)


def _set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    for group in optimizer.param_groups:
        group["lr"] = rate


def _check_parts(corpus: Corpus) -> None:
    """Texts that are read after some training are looked at before it."""
    for name, least in (("valid", CHECK_PARTS), ("test", 1)):
        tokens = len(getattr(corpus, name))
        if tokens < least:
            raise ValueError(
                f"{name} of the corpus {corpus.name!r} has {tokens} tokens; allowed: "
                f"{least} or more"
            )


def _check_long_enough(rows: int, recipe: Recipe) -> None:
    if rows < recipe.bptt + 1:
        raise ValueError(
            f"bptt is {recipe.bptt} with a batch_size of {recipe.batch_size}, but the "
            f"train text has {rows} tokens per column; allowed: fewer, or a longer text"
        )
    if rows < recipe.bptt * recipe.checks:
        raise ValueError(
            f"checks is {recipe.checks} with a bptt of {recipe.bptt}, but the train "
            f"text has {rows} tokens per column, so that two would fall into one "
            f"window; allowed: at most {rows // recipe.bptt}"
        )
