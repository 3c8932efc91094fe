"""To and from the modules of `torch.nn`."""

from typing import Any

import torch
from torch import nn

from gatebook.recurrence.cells import Core

COMMON = "input_size hidden_size num_layers bias batch_first dropout bidirectional"
"""Constructor arguments that this library's modules and torch's have in common."""


def arguments(module: Any) -> dict[str, Any]:
    """The `COMMON` arguments of a module of either kind, and where its weights are."""
    weight = module.weight_ih_l0
    common = {name: getattr(module, name) for name in COMMON.split()}
    return common | {"device": weight.device, "dtype": weight.dtype}


def cell_arguments(cell: Any) -> dict[str, Any]:
    """The same of a cell."""
    common = {n: getattr(cell, n) for n in ("input_size", "hidden_size", "bias")}
    return common | {"device": cell.weight_ih.device, "dtype": cell.weight_ih.dtype}


def check_counterpart(module: Any, kind: type[nn.Module]) -> None:
    """Raise unless ``module`` is torch's ``kind``, without a projection."""
    if not isinstance(module, kind):
        raise TypeError(
            f"module is {type(module).__name__}; allowed: torch.nn.{kind.__name__}"
        )
    if getattr(module, "proj_size", 0):
        raise ValueError(f"proj_size is {module.proj_size}; allowed: 0")


def copy_weights(target: nn.Module, source: nn.Module) -> None:
    """Give ``target`` the weights of ``source``; frozen ones stay frozen.

    A weight that a parametrization of ``source`` computes, such as weight norm's, is
    copied as it is now.
    """
    for name, parameter in target.named_parameters():
        with torch.enable_grad():  # what a parametrization computes is frozen without
            weight = getattr(source, name)
        with torch.no_grad():
            parameter.copy_(weight)
        parameter.requires_grad_(weight.requires_grad)


def check_evaluates_as_torch(core: Core, zoneout: tuple[float, float]) -> None:
    """Raise ``ValueError`` unless torch's own module computes the same."""
    if any(zoneout):
        raise ValueError(
            f"zoneout is {zoneout!r}; allowed: 0, since torch's module has no zoneout"
        )
    if not _evaluates_as_torch(core):
        raise ValueError(
            f"gate is {core.gate!r}; allowed: a gate that evaluates as torch's own, "
            "such as 'LSTM', 'C', 'U' or 'G2'"
        )


def _evaluates_as_torch(core: Core) -> bool:
    probe = {k: torch.tensor([-2.0, 0.3, 1.1]) for k in ("input", "forget")}
    if set(core.gate.blocks(core.hidden_size)) != set(probe):
        return False
    ours = core.gate.effective(probe)
    same = all(
        torch.equal(ours[f"effective_{k}"], v.sigmoid()) for k, v in probe.items()
    )
    return same and "forget" in core.blocks()


def assign(module: nn.Module, name: str, value: torch.Tensor) -> None:
    """Set a parametrized weight to ``value``.

    Raises:
        ValueError: if its parametrization cannot be inverted.
    """
    try:
        setattr(module, name, value)
    except (NotImplementedError, RuntimeError) as error:
        raise ValueError(
            f"{name} has a parametrization that cannot be set to a value; allowed: one "
            "with right_inverse, or torch.nn.utils.parametrize.remove_parametrizations "
            f"first ({error})"
        ) from error
