"""What all linear-recurrent cells share: arguments, state, noise, the recorder."""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pad_packed_sequence

from gatebook.errors import check_count, check_flag
from gatebook.fused.dispatch import HALF, autocasts
from gatebook.gates import Constant, Gate
from gatebook.gates.auxiliary import Blocks
from gatebook.modern import gates
from gatebook.random import Streams
from gatebook.rnn import checks, names
from gatebook.rnn.lengths import Packer, alive
from gatebook.rnn.stack import Record

State = Any
"""A tensor, or a tuple of tensors, with the batch in front."""

Real = Bool[Tensor, "T B"] | None
"""Which steps are inside their sequences; ``None`` if all are."""


class Cell(names.Named, nn.Module):
    """One layer whose gates come from the input, called as `gatebook.LSTM` is.

    Gates are pre-activations of the input, ``gate_weight`` x + ``gate_bias``. The bias
    is a parameter of the cell's own and not of an ``nn.Linear``, so that a model which
    starts all its linear layers anew does not lose the law of timescales.
    """

    published: ClassVar[Gate] = Gate(Constant(0.0))
    takes: ClassVar[gates.Takes] = gates.Takes()
    named: ClassVar[tuple[str, ...]] = ()  # options that shapes do not show
    quiet: ClassVar[tuple[str, ...]] = ()  # blocks without noise
    bidirectional = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        gate: str | Gate | None,
        seed: int | None,
        bias: bool = True,
        batch_first: bool = False,
    ):
        super().__init__()
        check_count("input_size", input_size)
        check_count("hidden_size", hidden_size)
        check_flag("bias", bias)
        check_flag("batch_first", batch_first)
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)
        self.gate = gates.resolved(gate, self.published, self.takes)
        if not bias and self.gate.activation != Constant(0.0):
            raise ValueError(
                f"bias is False and gate is {gate!r}; allowed: bias=True where a law "
                "of timescales starts the gate, since the law is its bias"
            )
        self.bias, self.batch_first = bias, batch_first
        self.streams = Streams(seed)
        self.recorder: Record | None = None  # see gatebook.record
        self._name_gate()

    def _make_gates(
        self, inputs: int, units: int, place: dict[str, Any], *more: str
    ) -> None:
        """Weight and bias of blocks for ``units`` gates: ``more``, then the gate's."""
        self.units = units
        self.blocks = dict.fromkeys(more, units) | self.gate.blocks(units, tied=True)
        rows = sum(self.blocks.values())
        self.gate_weight = nn.Parameter(torch.empty(rows, inputs, **place))
        self.gate_bias = nn.Parameter(torch.empty(rows, **place)) if self.bias else None

    @property
    def output_width(self) -> int:
        """Features of the output."""
        return self.hidden_size

    @property
    def core(self) -> names.Described:
        """What the cell computes in evaluation, so that a state can say it."""
        own = [f"{name}={getattr(self, name)}" for name in self.named]
        words = [type(self).__name__, *own, type(self.gate.auxiliary).__name__]
        every = " ".join([*words, *names.temperature(self.gate)])
        return names.Described(every, tuple(self.blocks))

    # -- the start ---------------------------------------------------------

    def reset_parameters(self) -> None:
        """Weights from U(±1/√fan-in), as `torch.nn.Linear`; the gate by its law."""
        for part in self.children():
            if isinstance(part, nn.Linear):
                part.reset_parameters()
        bound = self.gate_weight.shape[1] ** -0.5
        nn.init.uniform_(self.gate_weight, -bound, bound)
        if self.gate_bias is not None:
            with torch.no_grad():
                self.gate_bias.copy_(self._law())

    def _law(self) -> Float[Tensor, " Z"]:
        """A draw of the gate's biases, by the law of the effective forget gate."""
        with torch.device("cpu"):  # the default may have no numbers
            biases = self._biases(self.gate.initial_biases(self.units, tied=True))
        return torch.cat([biases[name] for name in self.blocks])

    def _biases(self, fixed: Blocks) -> Blocks:
        """Each block's bias, from the logits that the grid gives the gate's."""
        return fixed

    def timescales(self) -> Tensor:
        """τ = -1 / log f of each gate as it is now, in steps, at zero input.

        Returns:
            one number per forget gate: (H,), of `Mamba` (H, states), of `GLA` (keys,),
            of `MLSTM` (heads,).
        """
        zeros = self.gate_weight.new_zeros(1, 1, self.input_size)
        with torch.no_grad():
            return -1 / self._log_forget(zeros)[0, 0]

    def _log_forget(self, x: Float[Tensor, "T B I"]) -> Tensor:
        """The logarithm of the effective forget gates, without noise."""
        raise NotImplementedError

    # -- running -----------------------------------------------------------

    def forward(
        self, input: Tensor | PackedSequence, state: State | None = None
    ) -> tuple[Tensor | PackedSequence, State]:
        """Run over a sequence.

        Arguments:
            input: (T, B, input_size), (B, T, input_size) if ``batch_first``,
                (T, input_size) without a batch, or a ``PackedSequence``.
            state: before the first step, as a pass returns it; zeros if ``None``.

        Returns:
            the output of each step (T, B, output_width) in the input's form, and the
            state after the last step, of packed sequences after each one's own.

        Raises:
            TypeError: for anything but tensors and packed sequences.
            ValueError: for another shape, dtype or device than the cell's.
        """
        checks.check_kind(input)
        if isinstance(input, PackedSequence):
            return self._run_packed(input, state)
        if input.dim() == 2:
            return self._run_alone(input, state)
        self._check(input)
        x = input.transpose(0, 1) if self.batch_first else input
        output, state = self._run(x, self._state(state, x, x.shape[1:2]))
        return (output.transpose(0, 1) if self.batch_first else output), state

    def step(
        self, input: Tensor, state: State | None = None
    ) -> tuple[Float[Tensor, "*B W"], State]:
        """Run one time step, as a stream gives it; steps in turn equal the whole.

        Arguments:
            input: (B, input_size), or (input_size,) without a batch.
            state: before the step; as for `forward`.

        Returns:
            the output (B, output_width), and the state after it, in the input's form.

        Raises:
            TypeError: for anything but tensors.
            ValueError: for another shape, dtype or device than the cell's.
        """
        checks.check_step(input, self.input_size)
        if input.dim() == 1:
            output, state = self._run_alone(input[None], state)
        else:
            checks.check_place(input, "input", self.gate_weight)
            state = self._state(state, input, input.shape[:1])
            output, state = self._run(input[None], state)
        return output[0], state

    def _run(
        self, x: Float[Tensor, "T B I"], state: State, real: Real = None
    ) -> tuple[Float[Tensor, "T B W"], State]:
        output, state = self._sequence(x, state, real)
        return output.to(self._output_dtype(x)), state

    def _run_alone(
        self, x: Float[Tensor, "T I"], state: State | None
    ) -> tuple[Float[Tensor, "T W"], State]:
        """A sequence without a batch: a batch of one."""
        self._check(x, axes=2)
        state = each(lambda part: part[None], self._state(state, x, ()))
        output, state = self._run(x[:, None], state)
        return output.squeeze(1), each(lambda part: part.squeeze(0), state)

    def _run_packed(
        self, packed: PackedSequence, state: State | None
    ) -> tuple[PackedSequence, State]:
        checks.check_packed(packed, self.input_size)
        # pad_packed_sequence gives back the order in which the user has the batch.
        x, lengths = pad_packed_sequence(packed)
        checks.check_place(x, "input", self.gate_weight)
        state = self._state(state, x, x.shape[1:2])
        output, state = self._run(x, state, alive(x, lengths))
        pack = Packer(packed, lengths)
        for seen in (self.recorder or {}).values():
            seen |= {k: _packed(pack, v) for k, v in seen.items()}
        return pack(output), state

    def _check(self, x: Tensor, axes: int = 3) -> None:
        """Raise ``ValueError`` for an input of another shape, device or dtype."""
        checks.check_input(x, axes, self.input_size, self.batch_first)
        checks.check_place(x, "input", self.gate_weight)

    def _sequence(self, x: Tensor, state: State, real: Real) -> tuple[Tensor, State]:
        """All outputs, and the state after each sequence's last ``real`` step.

        Behind that step a cell's forget gate is 1 and nothing is added: `held`.
        """
        raise NotImplementedError

    def _output_dtype(self, x: Tensor) -> torch.dtype:
        if autocasts(x.device.type):
            return torch.get_autocast_dtype(x.device.type)
        return x.dtype

    # -- state -------------------------------------------------------------

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Shapes of the state's parts, by name and without the batch."""
        return {"h": (self.hidden_size,)}

    def _state(self, given: State | None, x: Tensor, batch: tuple[Any, ...]) -> State:
        """The state before the first step, checked; zeros by default.

        Where ``batch`` is (), it has no axis B. While torch traces, it is symbolic.
        """
        shapes, kind = self._shapes(), wide(x).dtype
        if given is None:
            parts = [x.new_zeros((*batch, *s), dtype=kind) for s in shapes.values()]
            return parts[0] if len(parts) == 1 else tuple(parts)
        parts = [given] if len(shapes) == 1 else given
        if not isinstance(parts, list | tuple) or len(parts) != len(shapes):
            raise TypeError(
                f"state is a {type(given).__name__}; allowed: a tuple of "
                f"{', '.join(shapes)}, or None"
            )
        for (name, shape), part in zip(shapes.items(), parts, strict=True):
            checks.check_tensor(part, name)
            axes = ("batch", *(f"size {n}" for n in shape))
            checks.check_state(part, (*batch, *shape), axes, name)
            if part.dtype != kind or part.device != x.device:
                raise ValueError(
                    f"{name} has dtype {part.dtype} on {part.device}; allowed: {kind} "
                    f"on {x.device}"
                )
        return given

    # -- gates -------------------------------------------------------------

    def _pre(self, x: Float[Tensor, "T B I"], noisy: bool = True) -> Blocks:
        """The gate's pre-activations by block, with their noise in training."""
        pre = wide(self._linear(x))
        return self._blocks(pre, self._drawn(pre) if noisy else None)

    def _linear(self, x: Tensor) -> Tensor:
        """All blocks' pre-activations."""
        return nn.functional.linear(x, self.gate_weight, self.gate_bias)

    def _blocks(self, pre: Float[Tensor, "*T Z"], noise: Tensor | None) -> Blocks:
        """The blocks by name, with the draws of `_drawn` in those that have noise."""
        blocks = self._split(pre, self.blocks)
        loud = [name for name in self.blocks if name not in self.quiet]
        drawn = None if noise is None else self._split(noise, loud)
        active = {name: blocks[name] for name in loud}
        return blocks | self.gate.noisy(active, drawn, noise is not None)

    def _split(self, rows: Tensor, names: Iterable[str]) -> Blocks:
        sizes = [self.blocks[name] for name in names]
        return dict(zip(names, rows.split(sizes, -1), strict=True))

    def _drawn(self, pre: Float[Tensor, "*T Z"]) -> Tensor | None:
        """The noise of all steps in training, for the blocks that are not quiet."""
        if not (self.training and self.gate.noise.draws):
            return None
        loud = sum(n for name, n in self.blocks.items() if name not in self.quiet)
        stream = self.streams["noise", pre.device]
        return self.gate.noise.sample((*pre.shape[:-1], loud), pre, stream)

    def _note(self, **values: Tensor) -> None:
        """What the recorder sees: the effective forget gate, and others."""
        if self.recorder is not None:
            self.recorder["l0"] = {k: v.detach() for k, v in values.items()}

    def extra_repr(self) -> str:
        """Sizes and the gate."""
        words = f"{self.input_size}, {self.hidden_size}, gate={self.gate}"
        words += "" if self.bias else ", bias=False"
        return words + (", batch_first=True" if self.batch_first else "")


def check_divides(heads: int, units: int, name: str = "hidden_size") -> int:
    """The number of heads, as an ``int``.

    Raises:
        ValueError: if it is below 1 or does not divide ``units``, which the message
            calls by ``name``.
    """
    check_count("heads", heads)
    if units % heads:
        raise ValueError(
            f"heads is {heads} and {name} {units}; allowed: heads that divide it"
        )
    return int(heads)


def _packed(pack: Packer, seen: Any) -> PackedSequence:
    """What the recorder has seen, (T, B, …), as the input was packed."""
    flat = pack(seen.flatten(2))
    return flat._replace(data=flat.data.unflatten(-1, seen.shape[2:]))


def held(
    f: Float[Tensor, "T B *N"], b: Float[Tensor, "T B *N"], real: Real
) -> tuple[Float[Tensor, "T B *N"], Float[Tensor, "T B *N"]]:
    """Forget gates 1 and inputs 0 behind a sequence's end, so that its state stays."""
    return masked(f, real, 1), masked(b, real, 0)


def masked(
    x: Float[Tensor, "T B *N"], real: Real, value: float
) -> Float[Tensor, "T B *N"]:
    """A value in place of what lies behind a sequence's end."""
    if real is None:
        return x
    return x.masked_fill(~real.view(*real.shape, *[1] * (x.dim() - 2)), value)


def each(function: Callable[[Tensor], Tensor], state: State) -> State:
    """A function of every part of a state."""
    if isinstance(state, Tensor):
        return function(state)
    return tuple(function(part) for part in state)


def wide(x: Tensor) -> Tensor:
    """In float32 if it was in half precision, where a gate below 1 ends at 0.996."""
    return x.float() if x.dtype in HALF else x
