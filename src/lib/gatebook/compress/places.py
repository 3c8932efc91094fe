"""Where a model's gates have their weights, by layer, part and name of the gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized

from gatebook.compress.forms import Matrix
from gatebook.errors import check_choice
from gatebook.gates import resolve
from gatebook.recurrence.cells import Core, GRUCore, LSTMCore, noise_blocks
from gatebook.rnn.module import RNN

PARTS = ("ih", "hh")
"""The weight on the input and the recurrent one, as torch names them."""


@dataclass(frozen=True)
class Layer:
    """One layer in one direction of a recurrent module inside a model."""

    name: str  # "rnn.l0_reverse"
    core: Core

    def weight(self, part: str) -> str:
        """The weight's name in the model's state: "rnn.weight_ih_l0_reverse"."""
        module, dot, suffix = self.name.rpartition(".")
        return f"{module}{dot}weight_{part}_{suffix}"

    def gates(self, wanted: str | Sequence[str]) -> list[str]:
        """Names of the blocks that ``wanted`` means here.

        Raises:
            ValueError: for a name that the layer's gate does not have.
        """
        every, own = self.core.blocks(), noise_blocks(self.core)
        if wanted in ("own", "all"):
            return list(own if wanted == "own" else every)
        names = [wanted] if isinstance(wanted, str) else list(wanted)
        for name in names:
            check_choice(f"gates of layer {self.name!r}:", name, every)
        return names

    def place(self, parts: tuple[str, ...], gate: str) -> "Place":
        """Where the gate has its rows in the weights of ``parts``."""
        sizes = self.core.blocks()
        names = list(sizes)
        first = sum(sizes[name] for name in names[: names.index(gate)])
        weights = tuple(self.weight(part) for part in parts)
        return Place(self.name, parts, gate, weights, first, sizes[gate])


@dataclass(frozen=True)
class Place:
    """The rows of one gate in one weight, or side by side in both."""

    layer: str
    parts: tuple[str, ...]
    gate: str
    weights: tuple[str, ...]
    first: int
    rows: int

    @property
    def name(self) -> str:
        """Such as "rnn.l0/ih+hh/forget"."""
        return f"{self.layer}/{'+'.join(self.parts)}/{self.gate}"

    def read(self, state: Mapping[str, Tensor]) -> Matrix:
        """A copy on the CPU, [W_x, W_h] if both.

        Raises:
            ValueError: for entries that are not finite.
        """
        cut = [state[w][self.first : self.first + self.rows] for w in self.weights]
        matrix = torch.cat([c.detach().cpu() for c in cut], 1)
        if not matrix.isfinite().all():
            raise ValueError(f"{self.name} holds NaN or infinity; allowed: numbers")
        return matrix

    def write(self, state: Mapping[str, Tensor], matrix: Matrix) -> None:
        """Put a matrix into the weights."""
        widths = [state[w].shape[1] for w in self.weights]
        for weight, part in zip(self.weights, matrix.split(widths, 1), strict=True):
            state[weight].detach()[self.first : self.first + self.rows].copy_(part)


def first_names(state: Mapping[str, Tensor]) -> dict[str, str]:
    """Each tensor's name, and the first name of the same tensor."""
    first: dict[int, str] = {}
    return {name: first.setdefault(id(t), name) for name, t in state.items()}


def shared_once(model: nn.Module, places: Sequence[Place]) -> list[Place]:
    """Without the places in weights that an earlier place has under other names."""
    first = first_names(model.state_dict(keep_vars=True))
    found: dict[tuple[tuple[str, ...], int], Place] = {}
    for place in places:
        weights = tuple(first[weight] for weight in place.weights)
        found.setdefault((weights, place.first), place)
    return list(found.values())


def recurrent(model: nn.Module) -> dict[str, RNN | nn.LSTM | nn.GRU]:
    """The recurrent modules inside ``model``, by name; "" is the model itself.

    Raises:
        ValueError: if there is none, or one whose weights are computed.
    """
    kinds = (RNN, nn.LSTM, nn.GRU)
    found = {n: m for n, m in model.named_modules() if isinstance(m, kinds)}
    for name, module in found.items():
        if is_parametrized(module):
            raise ValueError(
                f"{name or 'model'} has a parametrization; allowed: none, see "
                "torch.nn.utils.parametrize.remove_parametrizations"
            )
    if not found:
        raise ValueError(
            f"model is {type(model).__name__} without gates; allowed: a module that "
            "is or holds gatebook.LSTM, gatebook.GRU, torch.nn.LSTM or torch.nn.GRU"
        )
    return found


def layers(model: nn.Module, wanted: Sequence[str] | None = None) -> list[Layer]:
    """The model's layers, or those with the ``wanted`` names.

    Raises:
        ValueError: for an unknown name.
        TypeError: for one name in place of a sequence of names.
    """
    if isinstance(wanted, str):
        raise TypeError(f"layers is {wanted!r}; allowed: a sequence of names, or None")
    found = {
        layer.name: layer
        for name, module in recurrent(model).items()
        for layer in _layers(name, module)
    }
    for one in wanted or ():
        check_choice("layers:", one, found)
    return [v for k, v in found.items() if wanted is None or k in wanted]


def _layers(name: str, module: RNN | nn.LSTM | nn.GRU) -> list[Layer]:
    ways = ("", "_reverse") if module.bidirectional else ("",)
    suffixes = [f"l{k}{way}" for k in range(module.num_layers) for way in ways]
    return [Layer(f"{name}.{s}" if name else s, _core(module)) for s in suffixes]


def _core(module: RNN | nn.LSTM | nn.GRU) -> Core:
    if isinstance(module, RNN):
        return module.core
    kind = LSTMCore if isinstance(module, nn.LSTM) else GRUCore
    return kind(resolve("LSTM0"), module.hidden_size)
