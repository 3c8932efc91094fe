"""Checks of what the modules are built with and called with."""

import warnings
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn.utils.rnn import PackedSequence

from gatebook.errors import check_choice, check_probability
from gatebook.gates import Gate, Master
from gatebook.recurrence.cells import Core, GRUCore, starts_with_bias


def check_dropout(dropout: Any, num_layers: int) -> None:
    """A probability; one layer has nothing to drop, which is said in a warning."""
    check_probability("dropout", dropout)
    if dropout and num_layers == 1:
        warnings.warn(
            f"dropout is {dropout} and num_layers is 1: dropout acts between layers, "
            "so that it does nothing here",
            stacklevel=3,
        )


def check_projection(proj_size: Any) -> None:
    """Only 0: torch's LSTM can project its state, this library's cannot."""
    if proj_size != 0:
        raise ValueError(
            f"proj_size is {proj_size!r}; allowed: 0, since the papers' cells do not "
            "project their state"
        )


def pair_of_zoneouts(given: Any) -> tuple[float, float]:
    """An LSTM's probabilities, of c and of h; 0 stands for no zoneout."""
    pair = (0.0, 0.0) if given == 0 else given
    if not isinstance(pair, tuple) or len(pair) != 2:
        raise TypeError(
            f"zoneout is {given!r}; allowed: a pair of probabilities (of c, of h)"
        )
    for p in pair:
        check_probability("zoneout", p)
    return float(pair[0]), float(pair[1])


def one_zoneout(given: Any) -> tuple[float, float]:
    """A GRU's probability, of its only state."""
    check_probability("zoneout", given)
    return 0.0, float(given)


def check_bias_is_zero(core: Core, gate: str | Gate) -> None:
    """Raise if without its bias the gate would start as another one."""
    if starts_with_bias(core):
        raise ValueError(
            f"bias is False, but gate {gate!r} starts with a bias other than 0; "
            "allowed: bias=True, or a gate without one, such as 'LSTM0', 'G2' or 'O'"
        )


def check_downsize(
    gate: Gate, units: int, name: str | Gate, size_name: str = "hidden_size"
) -> None:
    """Raise if master gates cannot be shared evenly, and name a gate that can.

    Arguments:
        gate: the point of the grid.
        units: how many units have a gate.
        name: the gate as the user has given it.
        size_name: the parameter that says how many.
    """
    size = gate.auxiliary.downsize if isinstance(gate.auxiliary, Master) else 1
    if units % size == 0:
        return
    near = max(c for c in range(1, size + 1) if units % c == 0)
    raise ValueError(
        f"gate is {name!r}, whose downsize is {size}, and {size_name} is {units}; "
        f"allowed: a downsize that divides the {size_name.replace('_', ' ')}, such as "
        f"gate=Gate({type(gate.activation).__name__}(), Master({near}))"
    )


def check_biases(bias: bool, start: Any, single: bool, gate_bias: Any) -> None:
    """Raise for a start that is unknown, or options of a bias that is not there."""
    check_choice("bias_start", start, ("gate", "uniform"))
    check_choice("gate_bias", gate_bias, ("inside", "shared", "fixed"))
    if not bias and (single or start != "gate" or gate_bias != "inside"):
        raise ValueError(
            f"bias is False, but bias_start is {start!r}, single_bias {single} and "
            f"gate_bias {gate_bias!r}; allowed: 'gate', False and 'inside' where there "
            "is no bias"
        )


def check_form_is_torchs(core: Core, gate_bias: str) -> None:
    """Raise where torch's module has no parameter, or another order of operations."""
    if gate_bias != "inside":
        raise ValueError(
            f"gate_bias is {gate_bias!r}; allowed: 'inside', since torch's module has "
            "no such bias"
        )
    if isinstance(core, GRUCore) and core.reset != "after":
        raise ValueError(
            f"reset is {core.reset!r}; allowed: 'after', as torch's module has it"
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


def check_packed(packed: PackedSequence, input_size: int) -> None:
    """Raise unless each step of a packed sequence has ``input_size`` features."""
    shape = tuple(packed.data.shape)
    if len(shape) != 2 or shape[-1] != input_size:
        raise ValueError(
            f"input is a PackedSequence whose steps have shape {shape[1:]}; allowed: "
            f"(input_size,) with input_size {input_size}"
        )


def check_tensor(value: Any, name: str = "input") -> None:
    """Raise ``TypeError`` for anything but a tensor, a ``PackedSequence`` for one."""
    if not isinstance(value, Tensor):
        raise TypeError(f"{name} is a {type(value).__name__}; allowed: a tensor")


def check_step(x: Any, input_size: int, alone: bool = True) -> None:
    """Raise unless ``x`` is one step: (B, input_size), ``alone`` also (input_size,)."""
    if not isinstance(x, Tensor):
        raise TypeError(f"input is a {type(x).__name__}; allowed: a tensor, one step")
    if x.dim() not in ((1, 2) if alone else (2,)) or x.shape[-1] != input_size:
        raise ValueError(
            f"input has shape {tuple(x.shape)}; allowed: (B, input_size)"
            + " or (input_size,)" * alone
            + f", one step, with input_size {input_size}"
        )


def check_one_direction(bidirectional: bool) -> None:
    """Raise where one step is asked of two directions."""
    if bidirectional:
        raise ValueError(
            "bidirectional is True; allowed: False for one step, since the other "
            "direction begins at the end of the sequence"
        )


def pair_of_states(hx: Any) -> tuple[Any, Any]:
    """An LSTM's states h_0 and c_0, ``None`` for zeros; torch takes a list, too."""
    if hx is None:
        return None, None
    if not isinstance(hx, tuple | list) or len(hx) != 2:
        raise TypeError(
            f"hx is a {type(hx).__name__}; allowed: a pair of tensors (h_0, c_0), or "
            "None"
        )
    return hx[0], hx[1]


def check_one_state(hx: Any) -> None:
    """Raise unless ``hx`` is a GRU's state h_0, or ``None``."""
    if not isinstance(hx, Tensor | None):
        raise TypeError(f"hx is a {type(hx).__name__}; allowed: a tensor h_0, or None")


def check_place(x: Tensor, name: str, weight: Tensor) -> None:
    """Refuse a tensor of another device or dtype than the module's."""
    if x.device != weight.device:
        raise ValueError(
            f"{name} is on device {x.device}; allowed: {weight.device}, where the "
            "module is"
        )
    if x.dtype != weight.dtype and not _autocasts(x, weight):
        raise ValueError(
            f"{name} has dtype {x.dtype}; allowed: {weight.dtype}, the module's"
        )


def _autocasts(*tensors: Tensor) -> bool:
    """Whether autocast makes these one dtype; it leaves float64 alone."""
    wide = any(t.dtype == torch.float64 for t in tensors)
    return torch.is_autocast_enabled(tensors[0].device.type) and not wide


def check_state(
    state: Tensor, shape: tuple[int, ...], axes: tuple[str, ...], name: str
) -> None:
    """Raise unless a state has ``shape``, which ``axes`` puts in words.

    Without a batch there is one axis fewer than words.
    """
    if state.shape != shape:
        words = [w for w in axes if w != "batch" or len(axes) == len(shape)]
        raise ValueError(
            f"{name} has shape {tuple(state.shape)}; allowed: {shape}, that is "
            f"({', '.join(words)})"
        )
