"""Recurrent modules shaped like `torch.nn.LSTM` and `torch.nn.GRU`, with any gate."""

import math
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from gatebook import fused
from gatebook.errors import (
    check_choice,
    check_count,
    check_flag,
    check_fraction,
    check_probability,
)
from gatebook.gates import CDetach, Gate, HDetach, resolve, with_detach
from gatebook.random import Streams, dropped
from gatebook.recurrence.cells import Core, GRUCore, LSTMCore, initial_bias, with_gate
from gatebook.recurrence.scan import Draws, Pass, Result, Weights, draw, layer

State = tuple[Tensor, Tensor]


class RNN(nn.Module):
    """What `LSTM` and `GRU` share: layers, directions, lengths, state.

    Parameters have `torch.nn.LSTM`'s names and, for the standard gate, its shapes
    and row order, so that a ``state_dict`` fits both. Another gate may have the same
    shapes with other blocks in their rows, and refuses it.
    """

    core_type: type[Core]
    torch_type: type[nn.RNNBase]

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        *,
        gate: str | Gate = "LSTM",
        h_detach: float = 0.0,
        c_detach: float = 0.0,
        zoneout: tuple[float, float] = (0.0, 0.0),
        weight_drop: float = 0.0,
        bias_start: str = "gate",
        single_bias: bool = False,
        seed: int | None = None,
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size}
        for name, value in (sizes | {"num_layers": num_layers}).items():
            check_count(name, value)
        flags = {"bias": bias, "batch_first": batch_first, "single_bias": single_bias}
        for name, value in (flags | {"bidirectional": bidirectional}).items():
            check_flag(name, value)
        _check_dropout(dropout, num_layers)
        _check_zoneout(zoneout)
        _check_projection(proj_size)
        check_fraction("weight_drop", weight_drop)
        _check_biases(bias, bias_start, single_bias)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.num_layers, self.bias, self.batch_first = num_layers, bias, batch_first
        self.dropout, self.bidirectional = dropout, bidirectional
        self.zoneout, self.weight_drop = zoneout, weight_drop
        self.bias_start, self.single_bias = bias_start, single_bias
        self.core = self.core_type(
            with_detach(resolve(gate), h_detach, c_detach), hidden_size
        )
        if not bias:
            _check_bias_is_zero(self.core, gate)
        self.recorder: dict[str, dict[str, Any]] | None = None  # see record.Record
        self._make_parameters(device, dtype)
        self.reset_parameters()
        if seed is None:
            seed = int(torch.randint(2**62, (), device="cpu"))
        self.streams = Streams(seed)
        self.register_state_dict_post_hook(_note_rows)
        self.register_load_state_dict_pre_hook(_check_rows)

    # -- parameters --------------------------------------------------------

    @property
    def gate(self) -> Gate:
        """The point of the grid that this module runs."""
        return self.core.gate

    def suffixes(self) -> list[str]:
        """``"l0"``, ``"l0_reverse"``, ``"l1"``, …: one a layer and direction."""
        directions = ("", "_reverse") if self.bidirectional else ("",)
        return [f"l{k}{d}" for k in range(self.num_layers) for d in directions]

    def _make_parameters(
        self, device: torch.device | str | None, dtype: torch.dtype | None
    ) -> None:
        rows = sum(self.core.blocks().values())
        width = self.hidden_size * (2 if self.bidirectional else 1)
        for suffix in self.suffixes():
            columns = self.input_size if suffix.startswith("l0") else width
            shapes: dict[str, tuple[int, ...]] = {
                "weight_ih": (rows, columns),
                "weight_hh": (rows, self.hidden_size),
            }
            if self.bias:
                shapes |= {"bias_ih": (rows,), "bias_hh": (rows,)}
            for name, shape in shapes.items():
                empty = torch.empty(shape, device=device, dtype=dtype)
                trained = not (self.single_bias and name == "bias_hh")
                parameter = nn.Parameter(empty, requires_grad=trained)
                self.register_parameter(f"{name}_{suffix}", parameter)

    def reset_parameters(self) -> None:
        """Weights from U(-1/√H, 1/√H) as in `torch.nn.LSTM`; biases by the gate.

        The gate's initial bias goes into ``bias_ih``; every other bias is 0, or with
        ``bias_start="uniform"`` drawn as the weights are, and the gate's law added.
        The papers differ here, and P2 gives no weight initialisation at all.
        """
        bound = 1 / math.sqrt(self.hidden_size)
        with torch.no_grad():
            for name, parameter in self.named_parameters(recurse=False):
                weight = name.startswith("weight")
                none = self.single_bias and name.startswith("bias_hh")
                if weight or (self.bias_start == "uniform" and not none):
                    parameter.uniform_(-bound, bound)
                else:
                    parameter.zero_()
                if name.startswith("bias_ih"):
                    with torch.device("cpu"):  # the default may have no numbers
                        bias = initial_bias(self.core)
                    parameter.add_(bias.to(parameter.device))

    def set_detach(self, p: float) -> None:
        """Change the detaching probability, as P3's code anneals it to 0 at the end.

        Raises:
            ValueError: for a probability outside [0, 1], or a gate that does not
                detach at all.
        """
        rule = self.gate.gradient
        if not isinstance(rule, HDetach | CDetach):
            raise ValueError(f"gradient rule is {rule!r}; allowed: HDetach or CDetach")
        self.core = with_gate(
            self.core, replace(self.gate, gradient=replace(rule, p=p))
        )

    @property
    def all_weights(self) -> list[list[nn.Parameter]]:
        """The parameters, a list for each layer and direction, in torch's order."""
        names = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * self.bias
        return [[getattr(self, f"{n}_{s}") for n in names] for s in self.suffixes()]

    def flatten_parameters(self) -> None:
        """Nothing: torch's modules lay their weights out for cuDNN, these do not."""

    def _sizes(self) -> tuple[Any, ...]:
        """What modules that run together have in common."""
        own = (self.input_size, self.hidden_size, self.num_layers)
        return (type(self), *own, self.bidirectional, self.batch_first)

    # -- running -----------------------------------------------------------

    def _run(
        self, input: Tensor | PackedSequence, h: Tensor | None, c: Tensor | None
    ) -> tuple[Tensor | PackedSequence, Tensor, Tensor]:
        """The common forward pass; shapes as in `LSTM.forward`."""
        if isinstance(input, PackedSequence):
            return self._run_packed(input, h, c)
        if input.dim() == 2:
            return self._run_alone(input, h, c)
        self._check_input(input)
        x = input.transpose(0, 1) if self.batch_first else input
        out, h, c = self._layers(x, self._state(h, x, "h_0"), self._state(c, x, "c_0"))
        return (out.transpose(0, 1) if self.batch_first else out), h, c

    def _run_alone(
        self, x: Float[Tensor, "T I"], h: Tensor | None, c: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A sequence without a batch: a batch of one."""
        self._check_input(x, axes=2)
        h, c = self._state(h, x, "h_0"), self._state(c, x, "c_0")
        out, h, c = self._layers(x[:, None], h[:, None], c[:, None])
        return out.squeeze(1), h.squeeze(1), c.squeeze(1)

    def _run_packed(
        self, packed: PackedSequence, h: Tensor | None, c: Tensor | None
    ) -> tuple[PackedSequence, Tensor, Tensor]:
        # pad_packed_sequence gives back the order in which the user has the batch.
        x, lengths = pad_packed_sequence(packed)
        self._check_input(x)
        h, c = self._state(h, x, "h_0"), self._state(c, x, "c_0")
        out, h, c = self._layers(x, h, c, lengths)
        in_order = packed.sorted_indices is None
        pack = partial(pack_padded_sequence, lengths=lengths, enforce_sorted=in_order)
        for gates in (self.recorder or {}).values():
            for name, value in gates.items():
                gates[name] = pack(value)
        return pack(out), h, c

    def _layers(
        self,
        x: Float[Tensor, "T B I"],
        h: Float[Tensor, "L B H"],
        c: Float[Tensor, "L B H"],
        lengths: Tensor | None = None,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """All layers, one above the other; a layer's directions side by side."""
        return _stack([self], [x], [h], [c], lengths)[0]

    def _pass(
        self, x: Tensor, h: Tensor, c: Tensor, row: int, lengths: Tensor | None
    ) -> Pass:
        """One layer in one direction, with its draws; ``row`` counts both."""
        suffix = self.suffixes()[row]
        weights = self._weights(suffix)
        alive = None if lengths is None else _alive(x, lengths)
        x = _flip(x, lengths) if suffix.endswith("_reverse") else x
        draws = self._draw(x)
        return Pass(self.core, x, weights, h[row], c[row], draws, alive, self.zoneout)

    def _recorded(self, given: Pass, row: int) -> Result:
        """Run a pass with the reference loop, and keep its gates if that is asked."""
        log: dict[str, list[Tensor]] | None = None if self.recorder is None else {}
        arguments = (given.core, given.x, given.weights, given.h, given.c)
        result = layer(*arguments, **given.options(), log=log)
        if self.recorder is not None and log is not None:
            suffix = self.suffixes()[row]
            self.recorder[suffix] = {k: torch.stack(v) for k, v in log.items()}
        return result

    def _draw(self, x: Tensor) -> Draws | None:
        if not self.training:
            return None
        return draw(self.core, x, self.zoneout, self.streams)

    def _drop(self, x: Float[Tensor, "T B W"]) -> Float[Tensor, "T B W"]:
        """Dropout between two layers."""
        if not self.training or self.dropout == 0:
            return x
        return dropped(x, self.dropout, self.streams["dropout", x.device])

    def _weights(self, suffix: str) -> Weights:
        weight_ih = getattr(self, f"weight_ih_{suffix}")
        weight_hh = self._drop_weights(getattr(self, f"weight_hh_{suffix}"))
        bias_ih = getattr(self, f"bias_ih_{suffix}", None)
        return Weights(
            weight_ih, weight_hh, bias_ih, getattr(self, f"bias_hh_{suffix}", None)
        )

    def _drop_weights(self, weight: Float[Tensor, "G H"]) -> Float[Tensor, "G H"]:
        """Weight drop (Merity et al. 2018): one mask for all steps of a pass."""
        if not self.training or self.weight_drop == 0:
            return weight
        g = self.streams["weight_drop", weight.device]
        keep = _kept(weight, self.weight_drop, g)
        return weight * keep.to(weight.dtype).div_(1 - self.weight_drop)

    # -- checks ------------------------------------------------------------

    def _check_input(self, x: Tensor, axes: int = 3) -> None:
        first = self.batch_first and axes == 3
        order = "T" if axes == 2 else "B, T" if first else "T, B"
        if x.dim() != axes or x.shape[-1] != self.input_size:
            raise ValueError(
                f"input has shape {tuple(x.shape)}; allowed: ({order}, input_size) "
                f"with input_size {self.input_size}"
            )
        if x.shape[1 if first else 0] == 0:
            raise ValueError(
                f"input has shape {tuple(x.shape)}; allowed: at least one step"
            )
        self._check_place(x, "input")

    def _check_place(self, x: Tensor, name: str) -> None:
        """Refuse a tensor of another device or dtype than the module's."""
        weight = self.weight_ih_l0
        if x.device != weight.device:
            raise ValueError(
                f"{name} is on device {x.device}; allowed: {weight.device}, where the "
                "module is"
            )
        if x.dtype != weight.dtype and not torch.is_autocast_enabled(x.device.type):
            raise ValueError(
                f"{name} has dtype {x.dtype}; allowed: {weight.dtype}, the module's"
            )

    def _state(self, state: Tensor | None, x: Tensor, name: str) -> Tensor:
        """The initial state, zeros by default; shape (layers · directions, B, H).

        Of a sequence without a batch, (T, I), it has no axis B either.
        """
        shape = (len(self.suffixes()), *x.shape[1:-1], self.hidden_size)
        if state is None:
            return x.new_zeros(shape)
        if tuple(state.shape) != shape:
            raise ValueError(
                f"{name} has shape {tuple(state.shape)}; allowed: {shape}, that is "
                f"(layers * directions{', batch' * (x.dim() - 2)}, hidden_size)"
            )
        self._check_place(state, name)
        return state

    # -- to and from torch -------------------------------------------------

    @classmethod
    def from_torch(cls, module: nn.RNNBase) -> "RNN":
        """The same network as this library's module, weights copied.

        Frozen weights stay frozen.

        Raises:
            TypeError: if ``module`` is not torch's counterpart.
            ValueError: for ``proj_size``, which the papers' cells do not have.
        """
        if not isinstance(module, cls.torch_type):
            raise TypeError(
                f"module is {type(module).__name__}; allowed: torch.nn."
                f"{cls.torch_type.__name__}"
            )
        if module.proj_size:
            raise ValueError(f"proj_size is {module.proj_size}; allowed: 0")
        ours = cls(**_torch_arguments(module), gate="LSTM0")
        ours.load_state_dict(module.state_dict())
        _freeze_as(ours, module)
        return ours.train(module.training)

    def to_torch(self) -> nn.RNNBase:
        """Torch's own module with the same weights, for a standard gate.

        Noise and h-detach act in training only and are left behind. Zoneout is
        not: its mean acts in evaluation too. Frozen weights stay frozen.

        Raises:
            ValueError: if the gate computes what torch's module cannot, or with
                zoneout.
        """
        if any(self.zoneout):
            raise ValueError(
                f"zoneout is {self.zoneout!r}; allowed: 0, since torch's module "
                "has no zoneout"
            )
        if not self._evaluates_as_torch():
            raise ValueError(
                f"gate is {self.gate!r}; allowed: a gate that evaluates as "
                "torch's own, such as 'LSTM', 'C', 'U' or 'G2'"
            )
        theirs = self.torch_type(**_torch_arguments(self))
        theirs.load_state_dict(self.state_dict())
        _freeze_as(theirs, self)
        return theirs.train(self.training)

    def _evaluates_as_torch(self) -> bool:
        own = self.core.blocks()
        probe = {k: torch.tensor([-2.0, 0.3, 1.1]) for k in ("input", "forget")}
        if set(self.gate.blocks(self.hidden_size)) != set(probe):
            return False
        ours = self.gate.effective(probe)
        same = all(
            torch.equal(ours[f"effective_{k}"], v.sigmoid()) for k, v in probe.items()
        )
        return same and "forget" in own

    def extra_repr(self) -> str:
        """Sizes, the gate, and the options that were set."""
        usual = {
            "num_layers": 1,
            "bias": True,
            "batch_first": False,
            "dropout": 0.0,
            "bidirectional": False,
            "zoneout": (0.0, 0.0),
            "weight_drop": 0.0,
            "bias_start": "gate",
            "single_bias": False,
        }
        own = {name: getattr(self, name) for name in usual}
        words = [f"{k}={v!r}" for k, v in own.items() if v != usual[k]]
        sizes = f"{self.input_size}, {self.hidden_size}"
        return ", ".join([sizes, f"gate={self.gate}", *words])


def _kept(weight: Tensor, p: float, g: torch.Generator) -> Bool[Tensor, "G H"]:
    """``True`` with probability 1 - p, to within 1/65536.

    Sixteen random bits an entry: for a large weight most of the time goes into
    drawing them, and a uniform number has 32.
    """
    count = weight.numel()
    bits = torch.empty((count + 3) // 4, dtype=torch.int64, device=weight.device)
    bits.random_(-(2**63), 2**63 - 1, generator=g)
    sixteen = bits.view(torch.int16)[:count].view(weight.shape)
    return sixteen >= min(round(p * 2**16), 2**16 - 1) - 2**15


def _stack(
    modules: Sequence[RNN],
    xs: Sequence[Tensor],
    hs: Sequence[Tensor],
    cs: Sequence[Tensor],
    lengths: Tensor | None = None,
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """All layers of modules with equal sizes; shapes as in `RNN._layers`."""
    one, count = modules[0], range(len(modules))
    ways = 2 if one.bidirectional else 1
    last: list[list[tuple[Tensor, Tensor]]] = [[] for _ in count]
    for depth in range(one.num_layers):
        if depth > 0:
            xs = [modules[k]._drop(xs[k]) for k in count]
        outs: list[list[Tensor]] = [[] for _ in count]
        for row in range(depth * ways, depth * ways + ways):
            passes = [
                modules[k]._pass(xs[k], hs[k], cs[k], row, lengths) for k in count
            ]
            for k, (out, hn, cn) in enumerate(_scan(modules, passes, row)):
                reverse = row % ways == 1
                outs[k].append(_flip(out, lengths) if reverse else out)
                last[k].append((hn, cn))
        xs = [torch.cat(out, -1) if ways == 2 else out[0] for out in outs]
    states = [[torch.stack(s) for s in zip(*pairs, strict=True)] for pairs in last]
    return [(x, h, c) for x, (h, c) in zip(xs, states, strict=True)]


def _scan(modules: Sequence[RNN], passes: Sequence[Pass], row: int) -> list[Result]:
    """Run the passes; those of modules whose gates are recorded in the loop."""
    if all(m.recorder is None for m in modules):
        return fused.run_many(passes)
    pairs = zip(modules, passes, strict=True)
    return [m._recorded(p, row) for m, p in pairs]


def fit_each_other(modules: Sequence[RNN], inputs: Sequence[Tensor]) -> bool:
    """Whether sizes and shapes are equal, so that `together` takes them."""
    return len({m._sizes() for m in modules}) == len({x.shape for x in inputs}) == 1


def together(modules: Sequence[RNN], inputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of several modules, each on its own input, from zero states.

    The numbers are those of ``module(input)[0]``. On a GPU, modules whose gates have
    the same step run as one batch of models, which costs little more than one.

    Arguments:
        modules: of one type, with equal sizes, layers and directions.
        inputs: one a module, of equal shapes, (T, B, input_size) or as
            ``batch_first`` has it.

    Raises:
        ValueError: for modules or inputs of different shapes.
    """
    if not fit_each_other(modules, inputs):
        raise ValueError(
            f"modules are {[repr(m) for m in modules]} and inputs "
            f"{[tuple(x.shape) for x in inputs]}; allowed: equal sizes"
        )
    for module, x in zip(modules, inputs, strict=True):
        module._check_input(x)
    first = modules[0].batch_first
    xs = [x.transpose(0, 1) if first else x for x in inputs]
    states = [m._state(None, x, "h_0") for m, x in zip(modules, xs, strict=True)]
    outs = [out for out, _, _ in _stack(modules, xs, states, states)]
    return [out.transpose(0, 1) if first else out for out in outs]


def _torch_arguments(module: nn.Module) -> dict[str, Any]:
    """Constructor arguments that this library and torch have in common."""
    names = "input_size hidden_size num_layers bias batch_first dropout bidirectional"
    weight = module.weight_ih_l0
    common = {name: getattr(module, name) for name in names.split()}
    return common | {"device": weight.device, "dtype": weight.dtype}


def _note_rows(module: RNN, state: dict, prefix: str, metadata: dict) -> None:
    """Say in a ``state_dict``'s metadata whose rows the weights have."""
    metadata["rows"] = list(module.core.blocks())


def _check_rows(
    module: RNN, state: dict, prefix: str, metadata: dict, *rest: Any
) -> None:
    """Refuse weights whose rows are another gate's: equal shapes do not tell.

    A ``state_dict`` of torch's module says nothing of rows, and has torch's. One that
    came through a plain dictionary or a file may have no metadata, and is believed.
    """
    own = list(module.core.blocks())
    standard = list(module.core_type(Gate(), module.hidden_size).blocks())
    rows = metadata.get("rows", standard) if metadata else own
    if rows != own:
        raise ValueError(
            f"rows of the weights are {', '.join(rows)}; allowed: {', '.join(own)}, "
            "the gate's"
        )


def _freeze_as(target: nn.Module, source: nn.Module) -> None:
    """Let those parameters have a gradient that have one in ``source``."""
    for name, parameter in source.named_parameters():
        target.get_parameter(name).requires_grad_(parameter.requires_grad)


def _check_dropout(dropout: Any, num_layers: int) -> None:
    check_probability("dropout", dropout)
    if dropout and num_layers == 1:
        warnings.warn(
            f"dropout is {dropout} and num_layers is 1: dropout acts between layers, "
            "so that it does nothing here",
            stacklevel=3,
        )


def _check_projection(proj_size: Any) -> None:
    if proj_size != 0:
        raise ValueError(
            f"proj_size is {proj_size!r}; allowed: 0, since the papers' cells do not "
            "project their state"
        )


def _check_bias_is_zero(core: Core, gate: str | Gate) -> None:
    """Raise if without its bias the gate would start as another one."""
    if initial_bias(core).any():
        raise ValueError(
            f"bias is False, but gate {gate!r} starts with a bias other than 0; "
            "allowed: bias=True, or a gate without one, such as 'LSTM0', 'G2' or 'O'"
        )


def _check_biases(bias: bool, start: Any, single: bool) -> None:
    """Raise for a start that is unknown, or options of a bias that is not there."""
    check_choice("bias_start", start, ("gate", "uniform"))
    if not bias and (single or start != "gate"):
        raise ValueError(
            f"bias is False, but bias_start is {start!r} and single_bias {single}; "
            "allowed: 'gate' and False where there is no bias"
        )


def _check_zoneout(zoneout: Any) -> None:
    """Raise unless ``zoneout`` is a pair of probabilities, of c and of h."""
    if not isinstance(zoneout, tuple) or len(zoneout) != 2:
        raise TypeError(
            f"zoneout is {zoneout!r}; allowed: a pair of probabilities (of c, of h)"
        )
    for p in zoneout:
        check_probability("zoneout", p)


def _alive(x: Float[Tensor, "T B I"], lengths: Tensor) -> Bool[Tensor, "T B"]:
    """True inside each sequence."""
    steps = torch.arange(len(x), device=x.device)
    return steps[:, None] < lengths.to(x.device)[None, :]


def _flip(x: Float[Tensor, "T B I"], lengths: Tensor | None) -> Float[Tensor, "T B I"]:
    """Each sequence backwards within its own length; padding stays where it is."""
    if lengths is None:
        return x.flip(0)
    steps = torch.arange(len(x), device=x.device)[:, None]
    ends = lengths.to(x.device)[None, :]
    source = torch.where(steps < ends, ends - 1 - steps, steps)
    return x.gather(0, source[..., None].expand_as(x))


def _pair(hx: Any) -> State:
    """The states h_0 and c_0; torch takes them as a list, too."""
    if not isinstance(hx, tuple | list) or len(hx) != 2:
        raise TypeError(
            f"hx is a {type(hx).__name__}; allowed: a pair of tensors (h_0, c_0), or "
            "None"
        )
    return hx[0], hx[1]


class LSTM(RNN):
    """A long short-term memory with any gate of the grid, called as `torch.nn.LSTM`.

    Arguments:
        input_size: features of the input.
        hidden_size: H, units of each layer.
        num_layers: stacked layers.
        bias: two bias vectors a layer, as torch has them; ``False`` needs a gate
            whose bias starts at 0.
        batch_first: input and output as (B, T, features).
        dropout: probability of dropout between layers, in training.
        bidirectional: a second direction in each layer, concatenated.
        gate: a paper's name (`gatebook.GATES`) or a `Gate` of the four axes.
        h_detach: probability of detaching h at a time step (P3).
        c_detach: probability of detaching c at a time step (P3 §4.3).
        zoneout: probabilities (of c, of h) to keep a unit's old value.
        weight_drop: probability that an entry of the recurrent weight is 0 in a
            training pass, below 1; the others are scaled up.
        bias_start: ``"gate"`` starts the biases by the gate's law and at 0;
            ``"uniform"`` draws all of them from U(-1/√H, 1/√H) as `torch.nn.LSTM`
            does, and adds the gate's law: the start in the code of P1 (g2_lstm.py)
            and P3 (lstm_cell.py).
        single_bias: keeps ``bias_hh`` at 0 and does not train it: one bias a layer,
            as in the code of P1. With two, Adam moves a gate twice as far.
        seed: seed of the module's own random streams (noise, detaching, zoneout,
            dropout, weight drop); ``None`` draws one from torch's default generator.
        proj_size: 0, as there are no projections; here for torch's callers.
        device: where the parameters live.
        dtype: their dtype.

    Example:
        >>> import torch
        >>> rnn = LSTM(10, 20, gate="UR", h_detach=0.25)
        >>> output, (h, c) = rnn(torch.zeros(7, 3, 10))
        >>> output.shape, h.shape, c.shape
        (torch.Size([7, 3, 20]), torch.Size([1, 3, 20]), torch.Size([1, 3, 20]))
    """

    core_type = LSTMCore
    torch_type = nn.LSTM

    def forward(
        self, input: Tensor | PackedSequence, hx: State | None = None
    ) -> tuple[Tensor | PackedSequence, State]:
        """Run over a sequence.

        Arguments:
            input: (T, B, input_size), (B, T, input_size) if ``batch_first``,
                (T, input_size) without a batch, or a ``PackedSequence``.
            hx: initial (h_0, c_0), each (layers · directions, B, H); zeros if
                ``None``.

        Returns:
            the outputs (T, B, directions · H) in the input's form, and the last
            (h_n, c_n), each (layers · directions, B, H).
        """
        h, c = (None, None) if hx is None else _pair(hx)
        out, h, c = self._run(input, h, c)
        return out, (h, c)


class GRU(RNN):
    """A gated recurrent unit with any gate of the grid, called as `torch.nn.GRU`.

    Arguments as for `LSTM`, but ``zoneout`` is one probability. The gate is the
    update gate: ``"effective_forget"`` is torch's z, and the input gate is tied.
    For h-detach the gates and the candidate read the detached state, while the
    linear path f ∘ h stays whole; c-detach blocks the linear path instead.

    Example:
        >>> import torch
        >>> output, h = GRU(10, 20, gate="UR")(torch.zeros(7, 3, 10))
        >>> output.shape, h.shape
        (torch.Size([7, 3, 20]), torch.Size([1, 3, 20]))
    """

    core_type = GRUCore
    torch_type = nn.GRU

    def __init__(self, *args, zoneout: float = 0.0, **kwargs):
        super().__init__(*args, zoneout=(0.0, zoneout), **kwargs)

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run over a sequence; shapes as in `LSTM.forward`, with one state."""
        if not isinstance(hx, Tensor | None):
            raise TypeError(
                f"hx is a {type(hx).__name__}; allowed: a tensor h_0, or None"
            )
        out, h, _ = self._run(input, hx, hx)
        return out, h
