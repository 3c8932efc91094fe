"""The end of a training step, in every loop: clip, look, step."""

import torch
from torch import nn


def clipped_step(
    model: nn.Module, optimizer: torch.optim.Optimizer, clip: float | None
) -> bool:
    """Clip the gradient's norm and step.

    Arguments:
        model: has its gradients; its parameters are what the optimiser moves.
        optimizer: steps once.
        clip: the largest norm of all gradients together; ``None``: any.

    Returns:
        ``False`` if the gradient is not finite; there was no step then.
    """
    bound = float("inf") if clip is None else clip
    norm = nn.utils.clip_grad_norm_(model.parameters(), bound)
    if not torch.isfinite(norm):
        return False
    optimizer.step()
    return True
