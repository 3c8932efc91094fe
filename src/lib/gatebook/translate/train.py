"""Training of translation models: a fixed number of updates, resumed to the bit."""

import math
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.modes import evaluating
from gatebook.training import interrupts
from gatebook.training.history import History, progress_line
from gatebook.training.step import clipped_step
from gatebook.training.stored import Stored
from gatebook.translate.base import TranslationModel
from gatebook.translate.batches import Batch, batch_of, in_order, shuffled
from gatebook.translate.corpus import Corpus, Pairs
from gatebook.translate.gates import standing
from gatebook.translate.recipe import Recipe

WATCHED_PAIRS = 100
"""Validation pairs on which gates are watched while training goes on."""


def fit(
    model: TranslationModel,
    corpus: Corpus,
    recipe: Recipe,
    *,
    seed: int = 0,
    checkpoint: Path | None = None,
    checkpoint_seconds: float = 60.0,
    report: Callable[[str], None] | None = None,
) -> History:
    """Train a model; it ends with the weights of the last update.

    A loss or gradient that is not finite ends the run as diverged. If the checkpoint
    exists, the run resumes from it and ends with the same numbers. On Ctrl-C the update
    is finished, the state is stored, and ``KeyboardInterrupt`` is raised; a second
    Ctrl-C stops at once.

    Arguments:
        model: changed in place.
        corpus: of the model's vocabulary.
        recipe: updates, rates, optimiser.
        seed: of the batches.
        checkpoint: where the state is kept while the run goes on.
        checkpoint_seconds: the time between two stores.
        report: gets a line of progress at each validation.

    Returns:
        curves, from before the first update on: ``loss`` and ``train_loss``, in nats
        per token, of the validation pairs and of the training batches since the last
        validation, noise and dropout on; and where the decoder's gates lie on the
        first validation pairs (`gatebook.translate.gates.standing`).

    Raises:
        ValueError: for a corpus of another vocabulary.
    """
    run = _Training(model, corpus, recipe, seed, checkpoint, report)
    run.begin()
    interrupts.carry_out(run, checkpoint_seconds)
    return run.end()


def mean_loss(model: TranslationModel, pairs: Pairs) -> float:
    """Nats per target token, eos counted, in evaluation mode."""
    total, count = 0.0, 0
    device = model.embedding.weight.device
    with evaluating(model):
        for batch in in_order(pairs):
            found = model.nll(batch.to(device))
            total += found.double().sum().item()
            count += len(found)
    return total / count


class _Training(Stored):
    """A translation model in training."""

    model: TranslationModel

    def __init__(
        self,
        model: TranslationModel,
        corpus: Corpus,
        recipe: Recipe,
        seed: int,
        checkpoint: Path | None,
        report: Callable[[str], None] | None,
    ):
        check_vocabulary(model, corpus)
        self.corpus, self.recipe, self.seed = corpus, recipe, seed
        self.report, self.recent = report, [0.0, 0.0]  # sum of losses, tokens
        self.device = model.embedding.weight.device
        self.epoch, self.batches = 0, self._order(0)
        self.per_epoch = len(self.batches)
        watched = list(range(min(WATCHED_PAIRS, len(corpus.valid.source))))
        self.watched = batch_of(corpus.valid, watched).to(self.device)
        made_with = asdict(recipe) | {"corpus": corpus.sum, "seed": seed}
        made_with |= {"device": self.device.type}
        super().__init__(model, _optimizer(model, recipe), checkpoint, made_with)

    def begin(self) -> None:
        """Go on from the checkpoint, or take the first scores."""
        super().begin()
        if not self.history.curves:
            self._check()

    def goes_on(self) -> bool:
        """Whether there is something left to do."""
        history = self.history
        return history.step < self.recipe.updates and history.diverged_at is None

    def advance(self) -> None:
        """One update; a validation where it is due."""
        update = self.history.step
        for group in self.optimizer.param_groups:
            group["lr"] = self.recipe.rate(update)
        batch = self._batch(update)
        self.history.step += 1
        losses = self.model.nll(batch)
        self.recent[0] += losses.detach().double().sum().item()
        self.recent[1] += len(losses)
        if not math.isfinite(self.recent[0]) or not self._descend(losses, batch):
            self.history.diverged_at = self.history.step
        elif self.recipe.is_check(self.history.step):
            self._check()

    def _batch(self, update: int) -> Batch:
        """Every epoch has as many batches: lengths alone decide where they are cut."""
        epoch, place = divmod(update, self.per_epoch)
        if epoch != self.epoch:
            self.epoch, self.batches = epoch, self._order(epoch)
        return batch_of(self.corpus.train, self.batches[place]).to(self.device)

    def _order(self, epoch: int) -> list[list[int]]:
        limits = (self.recipe.tokens, self.recipe.sentences)
        return shuffled(self.corpus.train, *limits, self.seed, epoch)

    def _descend(self, losses: Float[Tensor, " N"], batch: Batch) -> bool:
        """A step down; ``False`` if the gradient is not finite."""
        per = len(losses) if self.recipe.loss == "tokens" else len(batch.rows)
        self.optimizer.zero_grad(set_to_none=True)
        (losses.sum() / per).backward()
        return clipped_step(self.model, self.optimizer, self.recipe.clip)

    def _check(self) -> None:
        losses, count = self.recent
        scores = {
            "loss": mean_loss(self.model, self.corpus.valid),
            "train_loss": losses / count if count else float("nan"),
        }
        self.recent = [0.0, 0.0]
        self.history.note(
            self.history.step, scores | standing(self.model, self.watched)
        )
        if self.report is not None:
            seconds = time.monotonic() - self.started
            steps = self.history.step, self.recipe.updates
            self.report(progress_line(*steps, seconds, scores))

    def progress(self) -> dict[str, Any]:
        """Losses and tokens since the last validation."""
        return {"recent": self.recent}

    def resume(self, progress: dict[str, Any]) -> None:
        """Put them back."""
        self.recent = progress["recent"]


def check_vocabulary(model: TranslationModel, corpus: Corpus) -> None:
    """Raise ``ValueError`` unless the model has as many pieces as the corpus."""
    if model.vocabulary_size != corpus.subwords.size:
        raise ValueError(
            f"corpus is {corpus.name!r} with {corpus.subwords.size} pieces; allowed: "
            f"one with {model.vocabulary_size}, as the model has"
        )


def _optimizer(model: TranslationModel, recipe: Recipe) -> torch.optim.Optimizer:
    weights, rate = model.parameters(), recipe.learning_rate
    if recipe.optimizer == "AdaDelta":
        return torch.optim.Adadelta(weights, rate, rho=0.95, eps=1e-7)
    return torch.optim.Adam(weights, rate)
