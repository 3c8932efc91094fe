"""A training that is stored between two steps, and goes on from there."""

import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gatebook.training.checkpoint import load_checkpoint, parts, save_checkpoint
from gatebook.training.history import History


class Stored:
    """A model, its optimiser and its curves, which a checkpoint holds.

    Arguments:
        model: what is trained.
        optimizer: its optimiser.
        checkpoint: the file; ``None`` for none.
        made_with: JSON values that must be the same when the training goes on. What
            the model consists of is added.
    """

    def __init__(
        self,
        model: nn.Module,
        optimizer: torch.optim.Optimizer,
        checkpoint: Path | str | None,
        made_with: dict[str, Any],
    ):
        self.model, self.optimizer = model, optimizer
        self.checkpoint = None if checkpoint is None else Path(checkpoint)
        self.made_with = made_with | parts(model)
        self.history = History()

    def progress(self) -> dict[str, Any]:
        """JSON values that the checkpoint holds beside the curves."""
        raise NotImplementedError

    def resume(self, progress: dict[str, Any]) -> None:
        """Put back what `progress` gave."""
        raise NotImplementedError

    def begin(self) -> None:
        """Go on from the checkpoint, if there is one; the model is in training then."""
        if self.checkpoint is not None and self.checkpoint.exists():
            arguments = (self.checkpoint, self.model, self.optimizer, self.made_with)
            found = load_checkpoint(*arguments)
            self.history = History(**found.pop("history"))
            self.resume(found)
        self.started = time.monotonic() - self.history.seconds
        if not self.model.training:  # else its frozen parts stay frozen
            self.model.train()

    def store(self) -> None:
        """Write the checkpoint, if there is to be one."""
        state = {"history": asdict(self.end())} | self.progress()
        if self.checkpoint is not None:
            arguments = (self.checkpoint, self.model, self.optimizer)
            save_checkpoint(*arguments, state, self.made_with)

    def end(self) -> History:
        """The curves of the whole run."""
        self.history.seconds = time.monotonic() - self.started
        return self.history
