"""Evaluation for a while: training mode and evaluation mode of a model's modules."""

import contextlib
from collections.abc import Iterator

import torch
from torch import nn


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Evaluation mode, and no gradients, within.

    Afterwards, and after an error, each module has the mode that it had:
    ``model.train()`` would wake the parts that the user has frozen.

    Example:
        >>> model = nn.Sequential(nn.Linear(1, 1), nn.Dropout().eval())
        >>> with evaluating(model):
        ...     model.training
        False
        >>> model.training, model[1].training
        (True, False)
    """
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, was_training in modes.items():
            module.training = was_training
