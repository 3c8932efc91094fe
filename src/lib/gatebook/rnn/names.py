"""A ``state_dict`` names the gate that its weights are for.

Gates have rows of equal shape, so shapes do not say whose weights these are. A
state therefore holds, besides the weights, ``gate_name``: what the module computes in
evaluation, as the bytes of a short text. Being a tensor, it goes through every format
(a plain dictionary, safetensors, a prefix put on or taken off), and loading into a
module that computes something else is refused. Initialisation, noise and gradient
rule may differ.

It is written as the state is made, and is neither a parameter nor a buffer: nothing
moves, averages or counts it. A gate that evaluates as torch's own has none, so that
its state is exactly that of `torch.nn.LSTM` or `torch.nn.GRU`, both ways with
``strict=True``.

Random streams are not in a state: a run that continues from one draws other noise.
``gatebook.training.checkpoint`` stores them, too.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor, nn

from gatebook.gates import (
    Constant,
    Gate,
    Gumbel,
    Master,
    Ordered,
    Sharpened,
    Tied,
)

Core = Any
"""A frozen dataclass with a gate, that of an LSTM or of any other core."""


@dataclass(frozen=True)
class Described:
    """A core that says itself what it computes: in words, and the rows of its gate."""

    words: str
    rows: tuple[str, ...]

    def blocks(self) -> tuple[str, ...]:
        """The names of the gate's blocks."""
        return self.rows


KEY = "gate_name"
"""What a state holds beside the weights; `Gated` has a property of this name, by which
`torch.func.functional_call` and PyTorch's distributed checkpoints find it."""


def function(core: Core) -> str:
    """What a core computes in evaluation, such as ``"LSTM Refine cumax"``."""
    if isinstance(core, Described):
        return core.words
    kind = type(core).__name__.removesuffix("Core")
    words = [kind, *_options(core), _auxiliary(core), _curve(core.gate)]
    return " ".join([*words, *temperature(core.gate)])


def _options(core: Core) -> list[str]:
    """What is set on the core besides gate and size."""
    given = [f for f in fields(core) if f.init]
    others = [f for f in given if f.name not in ("gate", "hidden_size")]
    values = {f.name: getattr(core, f.name) for f in others}
    return [f"{f.name}={values[f.name]}" for f in others if values[f.name] != f.default]


def _auxiliary(core: Core) -> str:
    kind = core.gate.auxiliary
    if isinstance(kind, Master):
        return f"Master({kind.downsize})"
    return "Plain" if core.tied and type(kind) is Tied else type(kind).__name__


def _curve(gate: Gate) -> str:
    """The activation without its start, by which alone all but the ordered differ."""
    kind = type(gate.activation)
    if (kind.forget, kind.input) == (Constant.forget, Constant.input):
        return "sigmoid"
    return "cumax" if kind is Ordered else kind.__name__


def temperature(gate: Gate) -> list[str]:
    """The words for a temperature in evaluation; none if it is 1."""
    noise, found = gate.noise, 1.0
    if isinstance(noise, Gumbel) and noise.evaluation == "paper" and noise.p > 0:
        found = noise.tau
    if isinstance(noise, Sharpened):
        found = noise.tau
    return [] if found == 1 else [f"/ {found:g}"]


def _standard(module: Any) -> str:
    """What torch's own module computes; nothing where torch has none."""
    if not hasattr(module, "torch_type"):
        return ""
    return function(module.core_type(Gate(), module.hidden_size))


def note_gate(module: Any, state: dict, prefix: str, metadata: dict) -> None:
    """Write the gate into a state; a hook of ``state_dict``."""
    own = function(module.core)
    metadata["rows"], metadata["gate"] = list(module.core.blocks()), own
    if own != _standard(module):
        state[prefix + KEY] = name_of(module.core)


def check_gate(
    module: Any, state: dict, prefix: str, metadata: dict, *rest: Any
) -> None:
    """Refuse the weights of another function; a hook of ``load_state_dict``.

    Raises:
        ValueError: if the state is of another function, or names none where the
            module's is not torch's.
    """
    named = state.pop(prefix + KEY, None)
    if not any(key.startswith(prefix) for key in state):
        return  # nothing of this module is loaded
    if named is None and "gate" not in metadata and "rows" in metadata:
        return _check_rows(module, metadata["rows"])  # written before gates were named
    own = function(module.core)
    found = metadata.get("gate", _standard(module)) if named is None else _text(named)
    if found in (own, None):
        return None
    if named is None and not (metadata and found):
        whose = f", so that its weights are torch's, {found!r}" if found else ""
        raise ValueError(
            f"the state names no gate{whose}; allowed: {own!r}, the module's. Weights "
            "of the module's gate that were written before states named it load as "
            "gatebook.rnn.name_gates(state, model)"
        )
    raise ValueError(f"weights are of {found!r}; allowed: {own!r}, the module's")


def _check_rows(module: Any, rows: list[str]) -> None:
    own = list(module.core.blocks())
    if rows != own:
        raise ValueError(
            f"rows of the weights are {', '.join(rows)}; allowed: {', '.join(own)}, "
            "the gate's"
        )


class Named:
    """Of a module around a gate: its ``state_dict`` says what the gate computes.

    The module has a ``core``; ``None`` where it has no gate of the grid.
    """

    core: Any
    register_state_dict_post_hook: Any
    register_load_state_dict_pre_hook: Any

    def _name_gate(self) -> None:
        """Write the name into each state from now on, and compare it with a state's."""
        self.register_state_dict_post_hook(note_gate)
        self.register_load_state_dict_pre_hook(check_gate)

    @property
    def gate_name(self) -> Tensor:
        """What the gate computes in evaluation, as the ``state_dict`` holds it."""
        if self.core is None:
            raise AttributeError("gate_name")
        return name_of(self.core)

    @gate_name.setter
    def gate_name(self, value: Tensor) -> None:
        """Nothing: `torch.func.functional_call` sets whatever a state holds."""


def name_gates(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A state with the gates of ``model`` written into it where it names none.

    For weights that are known to be this model's, and were written before states
    named their gates.
    """
    missing = {key: value for key, value in _names(model).items() if key not in state}
    return {**state, **missing}


def without_names(state: Mapping[str, Tensor], model: nn.Module) -> dict[str, Tensor]:
    """A state of ``model`` without the names of its gates: weights alone."""
    names = _names(model)
    return {key: value for key, value in state.items() if key not in names}


def _names(model: nn.Module) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for name, module in model.named_modules():
        if hasattr(module, KEY):
            note_gate(module, found, f"{name}." if name else "", {})
    return found


def name_of(core: Core) -> UInt8[Tensor, " N"]:
    """The bytes of `function`."""
    with torch.device("cpu"):
        return torch.tensor(list(function(core).encode()), dtype=torch.uint8)


def _text(value: Tensor) -> str | None:
    """The text of `name_of`, also after an average; ``None`` without numbers."""
    if value.is_meta or type(value) is not Tensor:  # a fake tensor, for one
        return None
    return bytes(value.round().to(torch.uint8).tolist()).decode(errors="replace")
