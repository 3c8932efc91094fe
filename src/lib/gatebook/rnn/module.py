"""Recurrent modules shaped like `torch.nn.LSTM` and `torch.nn.GRU`, with any gate."""

import math
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.parametrize import is_parametrized
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from gatebook.errors import check_count, check_flag, check_fraction, check_probability
from gatebook.gates import CDetach, Gate, HDetach, resolve, with_detach
from gatebook.random import Streams
from gatebook.recurrence.cells import Core, GRUCore, LSTMCore, initial_bias, with_gate
from gatebook.recurrence.scan import Weights
from gatebook.rnn import checks, interop, names, stack
from gatebook.rnn.lengths import Packer

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
        proj_size: int = 0,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        *,
        gate: str | Gate = "LSTM",
        h_detach: float = 0.0,
        c_detach: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        weight_drop: float = 0.0,
        bias_start: str = "gate",
        single_bias: bool = False,
        seed: int | None = None,
    ):
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size}
        for name, value in (sizes | {"num_layers": num_layers}).items():
            check_count(name, value)
        flags = {"bias": bias, "batch_first": batch_first, "single_bias": single_bias}
        for name, value in (flags | {"bidirectional": bidirectional}).items():
            check_flag(name, value)
        checks.check_dropout(dropout, num_layers)
        checks.check_projection(proj_size)
        check_fraction("weight_drop", weight_drop)
        checks.check_biases(bias, bias_start, single_bias)
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)
        self.num_layers, self.bias = int(num_layers), bias
        self.batch_first, self.bidirectional = batch_first, bidirectional
        self.dropout, self.weight_drop = float(dropout), float(weight_drop)
        self.zoneout, self.proj_size = self._zoneout(zoneout), 0
        self.bias_start, self.single_bias = bias_start, single_bias
        self.core = self.core_type(
            with_detach(resolve(gate), h_detach, c_detach), self.hidden_size
        )
        checks.check_downsize(self.gate, self.hidden_size, gate)
        if not bias:
            checks.check_bias_is_zero(self.core, gate)
        self.recorder: stack.Record | None = None  # see record.record
        self._make_parameters(device, dtype)
        self.reset_parameters()
        self.streams = Streams(seed)
        self.register_state_dict_post_hook(names.note_gate)
        self.register_load_state_dict_pre_hook(names.check_gate)

    @staticmethod
    def _zoneout(given: Any) -> tuple[float, float]:
        """The probabilities of c and of h; an `LSTM` and a `GRU` are told otherwise."""
        raise NotImplementedError

    # -- parameters --------------------------------------------------------

    @property
    def gate(self) -> Gate:
        """The point of the grid that this module runs."""
        return self.core.gate

    def suffixes(self) -> tuple[str, ...]:
        """``"l0"``, ``"l0_reverse"``, ``"l1"``, …: one for each layer and direction."""
        return stack.suffixes(self.num_layers, self.bidirectional)

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
        The papers differ here, and P2 gives no weight initialisation at all. A weight
        with a parametrization, such as weight norm's, is started through it.
        """
        with torch.no_grad():
            for name in self._names():
                self._restart(name)

    def _names(self) -> list[str]:
        """Names of the parameters, in torch's order."""
        kinds = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * self.bias
        return [f"{kind}_{suffix}" for suffix in self.suffixes() for kind in kinds]

    def _restart(self, name: str) -> None:
        """Draw one weight or bias anew."""
        value = getattr(self, name)
        through = is_parametrized(self, name)
        value = torch.empty_like(value) if through else value
        self._fill(name, value)
        if through:
            interop.assign(self, name, value)

    def _fill(self, name: str, value: Tensor) -> None:
        bound = 1 / math.sqrt(self.hidden_size)
        none = self.single_bias and name.startswith("bias_hh")
        uniform = self.bias_start == "uniform" and not none
        if name.startswith("weight") or uniform:
            value.uniform_(-bound, bound)
        else:
            value.zero_()
        if name.startswith("bias_ih"):
            with torch.device("cpu"):  # the default may have no numbers
                bias = initial_bias(self.core)
            value.add_(bias.to(value.device))

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

    def sizes(self) -> tuple[Any, ...]:
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
        self.check_input(input)
        x = input.transpose(0, 1) if self.batch_first else input
        out, h, c = self._layers(x, self.state(h, x, "h_0"), self.state(c, x, "c_0"))
        return (out.transpose(0, 1) if self.batch_first else out), h, c

    def _run_alone(
        self, x: Float[Tensor, "T I"], h: Tensor | None, c: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A sequence without a batch: a batch of one."""
        self.check_input(x, axes=2)
        h, c = self.state(h, x, "h_0"), self.state(c, x, "c_0")
        out, h, c = self._layers(x[:, None], h[:, None], c[:, None])
        return out.squeeze(1), h.squeeze(1), c.squeeze(1)

    def _run_packed(
        self, packed: PackedSequence, h: Tensor | None, c: Tensor | None
    ) -> tuple[PackedSequence, Tensor, Tensor]:
        # pad_packed_sequence gives back the order in which the user has the batch.
        x, lengths = pad_packed_sequence(packed)
        self.check_input(x)
        h, c = self.state(h, x, "h_0"), self.state(c, x, "c_0")
        out, h, c = self._layers(x, h, c, lengths)
        pack = Packer(packed, lengths)
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
    ) -> stack.Outputs:
        """All layers, one above the other; a layer's directions side by side."""
        return stack.run([self.layers()], [x], [h], [c], lengths)[0]

    def layers(self) -> stack.Layers:
        """What `stack.run` needs for one pass: weights, options and streams as now."""
        spec = stack.Spec(
            self.core,
            self.num_layers,
            self.bidirectional,
            self.dropout,
            self.zoneout,
            self.weight_drop,
        )
        weights = tuple(self._weights(suffix) for suffix in self.suffixes())
        streams = self.streams if self.training else None
        return stack.Layers(spec, weights, streams, self.recorder)

    def _weights(self, suffix: str) -> Weights:
        names = ["weight_ih", "weight_hh"] + ["bias_ih", "bias_hh"] * self.bias
        return Weights(*(getattr(self, f"{name}_{suffix}") for name in names))

    def check_input(self, x: Tensor, axes: int = 3) -> None:
        """Raise ``ValueError`` for an input of another shape, device or dtype."""
        checks.check_input(x, axes, self.input_size, self.batch_first)
        checks.check_place(x, "input", self.weight_ih_l0)

    def state(self, given: Tensor | None, x: Tensor, name: str) -> Tensor:
        """The initial state, zeros by default; shape (layers · directions, B, H).

        Of a sequence without a batch, (T, I), it has no axis B either.
        """
        shape = (len(self.suffixes()), *x.shape[1:-1], self.hidden_size)
        if given is None:
            return x.new_zeros(shape)
        checks.check_state(given, shape, name)
        checks.check_place(given, name, self.weight_ih_l0)
        return given

    # -- to and from torch -------------------------------------------------

    @classmethod
    def from_torch(cls, module: nn.RNNBase) -> "RNN":
        """The same network as this library's module, weights copied.

        Frozen weights stay frozen. A weight that a parametrization computes, such as
        weight norm's, is copied as it is now; the parametrization is not.

        Raises:
            TypeError: if ``module`` is not torch's counterpart.
            ValueError: for ``proj_size``, which the papers' cells do not have.
        """
        interop.check_counterpart(module, cls.torch_type)
        ours = cls(**interop.arguments(module), gate="LSTM0")
        interop.copy_weights(ours, module)
        return ours.train(module.training)

    def to_torch(self) -> nn.RNNBase:
        """Torch's own module with the same weights, for a standard gate.

        Noise and h-detach act in training only and are left behind. Zoneout is
        not: its mean acts in evaluation too. Frozen weights stay frozen. A
        parametrization is left behind, and the weights are those that it computes now.

        Raises:
            ValueError: if the gate computes what torch's module cannot, or with
                zoneout.
        """
        interop.check_evaluates_as_torch(self.core, self.zoneout)
        theirs = self.torch_type(**interop.arguments(self))
        interop.copy_weights(theirs, self)
        return theirs.train(self.training)

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
            dropout, weight drop); ``None`` draws one from torch's default generator
            when the first training pass needs it, see `gatebook.random.Streams`.
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

    @staticmethod
    def _zoneout(given: Any) -> tuple[float, float]:
        """A pair of probabilities, of c and of h; 0 stands for no zoneout."""
        pair = (0.0, 0.0) if given == 0 else given
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(
                f"zoneout is {given!r}; allowed: a pair of probabilities (of c, of h)"
            )
        for p in pair:
            check_probability("zoneout", p)
        return float(pair[0]), float(pair[1])

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
        checks.check_kind(input)
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

    @staticmethod
    def _zoneout(given: Any) -> tuple[float, float]:
        """One probability, of the only state."""
        check_probability("zoneout", given)
        return 0.0, float(given)

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run over a sequence; shapes as in `LSTM.forward`, with one state."""
        checks.check_kind(input)
        if not isinstance(hx, Tensor | None):
            raise TypeError(
                f"hx is a {type(hx).__name__}; allowed: a tensor h_0, or None"
            )
        out, h, _ = self._run(input, hx, hx)
        return out, h
