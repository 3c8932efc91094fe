"""Recurrent modules shaped like `torch.nn.LSTM` and `torch.nn.GRU`, with any gate."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from gatebook.errors import check_count, check_flag, check_fraction
from gatebook.fused.step import Step
from gatebook.gates import Gate
from gatebook.recurrence.cells import Core, GRUCore, LSTMCore
from gatebook.recurrence.scan import Weights
from gatebook.rnn import checks, interop, stack
from gatebook.rnn.gated import Gated
from gatebook.rnn.lengths import Packer

State = tuple[Tensor, Tensor]


class RNN(Gated):
    """What `LSTM` and `GRU` share: layers, directions, lengths, state.

    Parameters have `torch.nn.LSTM`'s names and, for the standard gate, its shapes
    and row order, so that a ``state_dict`` fits both. Another gate may have the same
    shapes with other blocks in their rows, and refuses it.
    """

    weight_ih_l0: Tensor
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
        gate_bias: str = "inside",
        reset: str = "after",
        seed: int | None = None,
    ):
        check_count("num_layers", num_layers)
        flags = {"batch_first": batch_first, "bidirectional": bidirectional}
        for name, value in (flags | {"single_bias": single_bias}).items():
            check_flag(name, value)
        checks.check_dropout(dropout, num_layers)
        checks.check_projection(proj_size)
        check_fraction("weight_drop", weight_drop)
        checks.check_biases(bias, bias_start, single_bias, gate_bias)
        super().__init__(
            input_size,
            hidden_size,
            bias,
            gate=gate,
            h_detach=h_detach,
            c_detach=c_detach,
            zoneout=zoneout,
            seed=seed,
            gate_bias=gate_bias,
            reset=reset,
        )
        self.num_layers, self.proj_size = int(num_layers), 0
        self.batch_first, self.bidirectional = batch_first, bidirectional
        self.dropout, self.weight_drop = float(dropout), float(weight_drop)
        self.bias_start, self.single_bias = bias_start, single_bias
        self.recorder: stack.Record | None = None  # see record.record
        width = self.hidden_size * (2 if bidirectional else 1)
        for layer in stack.suffixes(self.num_layers, bidirectional):
            columns = self.input_size if layer.startswith("l0") else width
            self._make_weights(layer, f"_{layer}", columns, device, dtype)
        self.reset_parameters()

    # -- parameters --------------------------------------------------------

    def suffixes(self) -> tuple[str, ...]:
        """``"l0"``, ``"l0_reverse"``, ``"l1"``, …: one for each layer and direction."""
        return tuple(self._named)

    @property
    def all_weights(self) -> list[list[Tensor]]:
        """The parameters, a list for each layer and direction, in torch's order."""
        every = self._named.values()
        return [[getattr(self, name) for name in names] for names in every]

    @property
    def output_width(self) -> int:
        """The features of the output at a step: H for each direction."""
        return self.hidden_size * (2 if self.bidirectional else 1)

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
        long = self.training or self.bidirectional or torch.is_grad_enabled()
        if not long and len(x) == 1:  # no need of a sequence's arrays
            out, h, c = self._one(x[0], h, c)
            return (out[:, None] if self.batch_first else out[None]), h, c
        batch = x.shape[1:-1]
        h, c = self.state(h, x, batch, "h_0"), self.state(c, x, batch, "c_0")
        out, h, c = self._layers(x, h, c)
        return (out.transpose(0, 1) if self.batch_first else out), h, c

    def _run_alone(
        self, x: Float[Tensor, "T I"], h: Tensor | None, c: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A sequence without a batch: a batch of one."""
        self.check_input(x, axes=2)
        h, c = self.state(h, x, (), "h_0"), self.state(c, x, (), "c_0")
        out, h, c = self._layers(x[:, None], h[:, None], c[:, None])
        return out.squeeze(1), h.squeeze(1), c.squeeze(1)

    def _run_packed(
        self, packed: PackedSequence, h: Tensor | None, c: Tensor | None
    ) -> tuple[PackedSequence, Tensor, Tensor]:
        checks.check_packed(packed, self.input_size)
        # pad_packed_sequence gives back the order in which the user has the batch.
        x, lengths = pad_packed_sequence(packed)
        checks.check_place(x, "input", self.weight_ih_l0)
        batch = x.shape[1:-1]
        h, c = self.state(h, x, batch, "h_0"), self.state(c, x, batch, "c_0")
        out, h, c = self._layers(x, h, c, lengths)
        pack = Packer(packed, lengths)
        for gates in (self.recorder or {}).values():
            gates |= {k: pack(v) for k, v in gates.items() if isinstance(v, Tensor)}
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

    def _one(
        self, x: Tensor, h: Tensor | None, c: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One step of all layers; shapes as in `LSTM.step`."""
        checks.check_step(x, self.input_size)
        checks.check_one_direction(self.bidirectional)
        weights, batch = [self._weights(name) for name in self._named], x.shape[:-1]
        checks.check_place(x, "input", weights[0].hh)
        h = self.state(h, x, batch, "h_0")
        c = h if self.core.tied else self.state(c, x, batch, "c_0")
        short = self._step(x.dtype)
        plain = not self.training and self.recorder is None
        if plain and all(short.applies(own, x, h, c) for own in weights):
            return self._one_by_the_short_way(short, weights, x, h, c)
        return self._one_by_the_stack(x, h, c)

    def _one_by_the_short_way(
        self, short: Step, weights: list[Weights], x: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        hs: list[Tensor] = []
        cs: list[Tensor] = []
        for own, h_k, c_k in zip(weights, h.unbind(), c.unbind(), strict=True):
            x, last_c = short(own, x, h_k, c_k)
            hs.append(x)
            cs.append(last_c)
        last_h = torch.stack(hs)
        return x, last_h, last_h if self.core.tied else torch.stack(cs)

    def _one_by_the_stack(
        self, x: Tensor, h: Tensor, c: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The same as a sequence of one step."""
        if x.dim() == 2:
            out, h, c = self._layers(x[None], h, c)
            return out[0], h, c
        out, h, c = self._layers(x[None, None], h[:, None], c[:, None])
        return out[0, 0], h[:, 0], c[:, 0]

    def layers(self) -> stack.Layers:
        """What `stack.run` needs for one pass: weights, options and streams as now."""
        spec = stack.Spec(
            self.core,
            self.suffixes(),
            self.bidirectional,
            self.dropout,
            self.zoneout,
            self.weight_drop,
        )
        weights = tuple(map(self._weights, self._named))
        streams = self.streams if self.training else None
        return stack.Layers(spec, weights, streams, self.recorder)

    def check_input(self, x: Tensor, axes: int = 3) -> None:
        """Raise ``ValueError`` for an input of another shape, device or dtype."""
        checks.check_input(x, axes, self.input_size, self.batch_first)
        checks.check_place(x, "input", self.weight_ih_l0)

    def state(
        self, given: Tensor | None, x: Tensor, batch: tuple[Any, ...], name: str
    ) -> Tensor:
        """The initial state, zeros by default; shape (layers · directions, B, H).

        Where ``batch`` is (), it has no axis B. While torch traces, it is symbolic.
        """
        shape = (len(self._named), *batch, self.hidden_size)
        if given is None:
            return x.new_zeros(shape)
        axes = ("layers * directions", "batch", "hidden_size")
        checks.check_state(given, shape, axes, name)
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
        checks.check_form_is_torchs(self.core, self.gate_bias)
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
            "gate_bias": "inside",
            "reset": "after",
        }
        places = {"reset": self.core}  # an LSTM's has none
        own = {k: getattr(places.get(k, self), k, v) for k, v in usual.items()}
        words = [f"{k}={v!r}" for k, v in own.items() if v != usual[k]]
        sizes = f"{self.input_size}, {self.hidden_size}"
        return ", ".join([sizes, f"gate={self.gate}", *words])


class LSTM(RNN):
    """A long short-term memory with any gate of the grid, called as `torch.nn.LSTM`.

    Arguments:
        input_size: features of the input.
        hidden_size: H, units of each layer.
        num_layers: stacked layers.
        bias: two bias vectors per layer, as in torch; ``False`` needs a gate
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
        single_bias: keeps ``bias_hh`` at 0 and does not train it: one bias per layer,
            as in the code of P1. With two, Adam moves a gate twice as far.
        gate_bias: where the gate's own bias b_f is. ``"inside"`` puts its law into
            ``bias_ih``, whose blocks are trained separately. ``"shared"`` keeps ONE
            trained vector ``gate_bias`` that is added to f and subtracted from r, or
            from i (P2 Listing 2): under Adam f then moves three times as far per
            step. With ``"fixed"`` it is not trained (the later code, S4 ``gate.py``).
        seed: seed of the module's own random streams (noise, detaching, zoneout,
            dropout, weight drop); ``None`` draws one from torch's default generator
            when the first training pass needs it, see `gatebook.random.Streams`.
        proj_size: 0, as there are no projections; for callers of torch's modules.
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

    _zoneout = staticmethod(checks.pair_of_zoneouts)

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
        h, c = checks.pair_of_states(hx)
        out, h, c = self._run(input, h, c)
        return out, (h, c)

    def step(
        self, input: Tensor, hx: State | None = None
    ) -> tuple[Float[Tensor, "*B H"], State]:
        """Run one time step, as a stream gives it; steps in turn equal the whole.

        In evaluation without gradients one step of every gate takes about as long as
        `torch.nn.LSTMCell`. In training it draws noise, detaching, zoneout, dropout
        and weight drop for this step alone.

        Arguments:
            input: (B, input_size), or (input_size,) without a batch.
            hx: the (h, c) of the step before, each (layers, B, H) or (layers, H);
                zeros if ``None``.

        Returns:
            the last layer's output (B, H), and the new (h, c) in the form of ``hx``.

        Raises:
            ValueError: for two directions, one of which begins at the end.

        Example:
            >>> import torch
            >>> rnn, state = LSTM(10, 20, 2, gate="UR").eval(), None
            >>> with torch.no_grad():
            ...     for x in torch.zeros(7, 3, 10):
            ...         output, state = rnn.step(x, state)
            >>> output.shape, state[0].shape
            (torch.Size([3, 20]), torch.Size([2, 3, 20]))
        """
        h, c = checks.pair_of_states(hx)
        out, h, c = self._one(input, h, c)
        return out, (h, c)


class GRU(RNN):
    """A gated recurrent unit with any gate of the grid, called as `torch.nn.GRU`.

    Arguments as for `LSTM`, but ``zoneout`` is one probability, and ``reset`` says
    where the reset gate acts, see `GRUCore`: ``"after"`` the candidate's product as in
    torch, ``"before"`` it, or ``"none"``. The gate is the
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

    _zoneout = staticmethod(checks.one_zoneout)

    def _core(self, gate: Gate, reset: str) -> Core:
        return GRUCore(gate, self.hidden_size, reset)

    def forward(
        self, input: Tensor | PackedSequence, hx: Tensor | None = None
    ) -> tuple[Tensor | PackedSequence, Tensor]:
        """Run over a sequence; shapes as in `LSTM.forward`, with one state."""
        checks.check_kind(input)
        checks.check_one_state(hx)
        out, h, _ = self._run(input, hx, hx)
        return out, h

    def step(
        self, input: Tensor, hx: Tensor | None = None
    ) -> tuple[Float[Tensor, "*B H"], Tensor]:
        """Run one time step; as `LSTM.step`, with one state."""
        checks.check_one_state(hx)
        out, h, _ = self._one(input, hx, hx)
        return out, h
