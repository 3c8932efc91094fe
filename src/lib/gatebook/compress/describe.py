"""Recurrent modules in JSON values, and back: what a file says of its model."""

from dataclasses import asdict
from types import UnionType
from typing import Any

import torch
from torch import nn

from gatebook import gates
from gatebook.errors import check_choice
from gatebook.gates import Gate
from gatebook.modern import starts
from gatebook.rnn.module import GRU, LSTM, RNN

AXES: dict[str, UnionType] = {
    # The starts of the linear cells, too, which any module takes.
    "activation": gates.Activation
    | starts.LogUniform
    | starts.Steps
    | starts.Ring
    | starts.Spaced
    | starts.Graded,
    "auxiliary": gates.Auxiliary,
    "noise": gates.Noise,
    "gradient": gates.GradientRule,
}
KINDS: dict[str, type[RNN] | type[nn.RNNBase]] = {
    "gatebook.LSTM": LSTM,
    "gatebook.GRU": GRU,
    "torch.nn.LSTM": nn.LSTM,
    "torch.nn.GRU": nn.GRU,
}
_BOTH = "input_size hidden_size num_layers bias batch_first dropout bidirectional"


def describe(module: RNN | nn.LSTM | nn.GRU) -> dict[str, Any]:
    """Type, constructor arguments and gate; the weights' dtype too."""
    kind = next(name for name, k in KINDS.items() if isinstance(module, k))
    arguments = {name: getattr(module, name) for name in _BOTH.split()}
    arguments["dtype"] = str(module.weight_ih_l0.dtype).removeprefix("torch.")
    if not isinstance(module, RNN):
        return {"type": kind, "arguments": arguments | _projection(module)}
    arguments["weight_drop"] = module.weight_drop
    arguments |= _forms(module)
    c, h = module.zoneout
    arguments["zoneout"] = h if isinstance(module, GRU) else [c, h]
    return {"type": kind, "arguments": arguments, "gate": _gate(module.gate)}


def build(described: dict[str, Any]) -> nn.Module:
    """The module that `describe` has described; its weights are newly drawn."""
    check_choice("type", described["type"], KINDS)
    arguments = dict(described["arguments"])
    arguments["dtype"] = getattr(torch, arguments["dtype"])
    if isinstance(arguments.get("zoneout"), list):
        arguments["zoneout"] = tuple(arguments["zoneout"])
    if "gate" in described:
        # The streams of a loaded model serve no stored run; any seed will do, and
        # 0 leaves torch's default generator alone.
        arguments |= {"gate": gate(described["gate"]), "seed": 0}
    return KINDS[described["type"]](**arguments)


def computes(described: dict[str, Any]) -> tuple[Any, ...]:
    """What decides the outputs in evaluation, given the weights."""
    arguments, gate = described["arguments"], dict(described.get("gate", {}))
    gate.pop("gradient", None)
    return (
        described["type"],
        gate,
        arguments.get("zoneout"),
        arguments.get("reset"),
        arguments["bidirectional"],
        arguments["batch_first"],
    )


def gate(described: dict[str, Any]) -> Gate:
    """The point of the grid that a description names."""
    axes = {}
    for axis in AXES:
        known = _known(axis)
        name, fields = described[axis]
        check_choice(axis, name, known)
        axes[axis] = known[name](**fields)
    return Gate(**axes)


def _known(axis: str) -> dict[str, Any]:
    """The library's classes on one axis, by name."""
    return {kind.__name__: kind for kind in AXES[axis].__args__}


def _gate(gate: Gate) -> dict[str, Any]:
    for axis in AXES:
        own = getattr(gate, axis)
        if type(own) not in _known(axis).values():
            raise ValueError(
                f"{axis} is {own!r}, which no file can hold; allowed: one of "
                f"{', '.join(_known(axis))}"
            )
    return {axis: _choice(getattr(gate, axis)) for axis in AXES}


def _choice(axis: Any) -> list[Any]:
    """Class and arguments of a choice on one axis, but fields that it fixes."""
    free = {f.name for f in axis.__dataclass_fields__.values() if f.init}
    return [type(axis).__name__, {k: v for k, v in asdict(axis).items() if k in free}]


def _forms(module: RNN) -> dict[str, Any]:
    """The papers' own forms, where one was chosen."""
    usual = {"gate_bias": "inside", "reset": "after", "single_bias": False}
    places = {"reset": module.core}  # an LSTM's has none
    own = {k: getattr(places.get(k, module), k, v) for k, v in usual.items()}
    return {name: value for name, value in own.items() if value != usual[name]}


def _projection(module: nn.LSTM | nn.GRU) -> dict[str, int]:
    return {"proj_size": module.proj_size} if module.proj_size else {}
