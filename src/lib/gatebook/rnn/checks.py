"""Checks of what the modules are built with and called with."""

import warnings
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn.utils.rnn import PackedSequence

from gatebook.errors import check_choice, check_probability
from gatebook.gates import Gate, Master
from gatebook.recurrence.cells import Core, starts_with_bias


def check_dropout(dropout: Any, num_layers: int) -> None:
    """A probability; one layer has nothing to drop, which is said in a warning."""
    check_probability("dropout", dropout)
    if dropout and num_layers == 1:
        warnings.warn(
            f"dropout is {dropout} and num_layers is 1: dropout acts between layers, "
            "so that it does nothing here",
            stacklevel=4,
        )


def check_projection(proj_size: Any) -> None:
    """Only 0: torch's LSTM can project its state, this library's cannot."""
    if proj_size != 0:
        raise ValueError(
            f"proj_size is {proj_size!r}; allowed: 0, since the papers' cells do not "
            "project their state"
        )


def check_bias_is_zero(core: Core, gate: str | Gate) -> None:
    """Raise if without its bias the gate would start as another one."""
    if starts_with_bias(core):
        raise ValueError(
            f"bias is False, but gate {gate!r} starts with a bias other than 0; "
            "allowed: bias=True, or a gate without one, such as 'LSTM0', 'G2' or 'O'"
        )


def check_downsize(gate: Gate, hidden_size: int, name: str | Gate) -> None:
    """Raise if master gates cannot be shared evenly, and name a gate that can."""
    size = gate.auxiliary.downsize if isinstance(gate.auxiliary, Master) else 1
    if hidden_size % size == 0:
        return
    near = max(c for c in range(1, size + 1) if hidden_size % c == 0)
    raise ValueError(
        f"gate is {name!r}, whose downsize is {size}, and hidden_size is "
        f"{hidden_size}; allowed: a downsize that divides the hidden size, such as "
        f"gate=Gate({type(gate.activation).__name__}(), Master({near}))"
    )


def check_biases(bias: bool, start: Any, single: bool) -> None:
    """Raise for a start that is unknown, or options of a bias that is not there."""
    check_choice("bias_start", start, ("gate", "uniform"))
    if not bias and (single or start != "gate"):
        raise ValueError(
            f"bias is False, but bias_start is {start!r} and single_bias {single}; "
            "allowed: 'gate' and False where there is no bias"
        )


def check_kind(x: Any) -> None:
    """Raise unless ``x`` is a tensor that is not nested, or a ``PackedSequence``."""
    if isinstance(x, PackedSequence):
        return
    if not isinstance(x, Tensor):
        leaf = isinstance(x, fx.Proxy)
        raise TypeError(
            f"input is a {type(x).__name__}; allowed: a tensor or a PackedSequence"
            + "; torch.fx needs a Tracer whose is_leaf_module knows this module" * leaf
        )
    if x.is_nested:
        raise TypeError(
            "input is a nested tensor; allowed: a tensor, or sequences of different "
            "lengths in torch.nn.utils.rnn.pack_sequence(list(input.unbind()), "
            "enforce_sorted=False)"
        )


def check_input(x: Any, axes: int, input_size: int, batch_first: bool) -> None:
    """Raise unless ``x`` has ``axes`` axes, ``input_size`` features, and steps."""
    first = batch_first and axes == 3
    order = "T" if axes == 2 else "B, T" if first else "T, B"
    if x.dim() != axes or x.shape[-1] != input_size:
        raise ValueError(
            f"input has shape {tuple(x.shape)}; allowed: ({order}, input_size) "
            f"with input_size {input_size}"
        )
    if x.shape[1 if first else 0] == 0:
        raise ValueError(
            f"input has shape {tuple(x.shape)}; allowed: at least one step"
        )


def check_place(x: Tensor, name: str, weight: Tensor) -> None:
    """Refuse a tensor of another device or dtype than the module's."""
    if x.device != weight.device:
        raise ValueError(
            f"{name} is on device {x.device}; allowed: {weight.device}, where the "
            "module is"
        )
    if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
        raise ValueError(
            f"{name} has dtype {x.dtype}; allowed: {weight.dtype}, the module's"
        )


def check_state(state: Tensor, shape: tuple[int, ...], name: str) -> None:
    """Raise unless a state has ``shape``: layers and directions, batch, units."""
    if tuple(state.shape) != shape:
        batch = ", batch" * (len(shape) - 2)
        raise ValueError(
            f"{name} has shape {tuple(state.shape)}; allowed: {shape}, that is "
            f"(layers * directions{batch}, hidden_size)"
        )
