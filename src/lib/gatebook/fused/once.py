"""Backward passes that cannot be differentiated again."""

import functools
from collections.abc import Callable
from typing import Any

import torch

Backward = Callable[..., Any]


def once_only(backward: Backward) -> Backward:
    """Refuse ``create_graph=True``, with what to do instead.

    PyTorch's ``once_differentiable`` refuses only where the incoming gradient depends
    on something. Elsewhere, as in a gradient penalty, it makes the second derivative
    zero silently.
    """

    @functools.wraps(backward)
    def checked(ctx: Any, *gradients: Any) -> Any:
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the fused scan has no second derivative, for which create_graph=True "
                "asks; the forward pass under `with gatebook.reference():` has one"
            )
        return backward(ctx, *gradients)

    return checked
