"""The differentiable neural computer, with gates of the grid.

Graves et al. 2016; details from google-deepmind/dnc @f5981c6, dnc/access.py.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gatebook.errors import check_count
from gatebook.gates import Blocks, Gate
from gatebook.memory import addressing, compiled
from gatebook.memory.interface import Asked, Interface, Layout
from gatebook.random import Streams
from gatebook.recurrence.cells import Core, Step, noise_blocks, split
from gatebook.recurrence.scan import draw
from gatebook.rnn import checks
from gatebook.rnn.cell import LSTMCell
from gatebook.rnn.stack import Record


class DNCState(NamedTuple):
    """All that a step hands to the next one; zero at the start.

    Arguments:
        h: the controller's hidden state.
        c: its cell state.
        memory: M.
        usage: u, how far a row is in use.
        precedence: p, how far a row is the one written last.
        links: L, where L_ij says that row i was written right after row j.
        write_weights: w.
        read_weights: ρ of each head.
        read_vectors: r of each head.
    """

    h: Float[Tensor, "B H"]
    c: Float[Tensor, "B H"]
    memory: Float[Tensor, "B N W"]
    usage: Float[Tensor, "B N"]
    precedence: Float[Tensor, "B N"]
    links: Float[Tensor, "B N N"]
    write_weights: Float[Tensor, "B N"]
    read_weights: Float[Tensor, "B R N"]
    read_vectors: Float[Tensor, "B R W"]


AXES: dict[str, tuple[str, ...]] = {
    "h": ("batch", "hidden_size"),
    "c": ("batch", "hidden_size"),
    "memory": ("batch", "rows", "width"),
    "usage": ("batch", "rows"),
    "precedence": ("batch", "rows"),
    "links": ("batch", "rows", "rows"),
    "write_weights": ("batch", "rows"),
    "read_weights": ("batch", "reads", "rows"),
    "read_vectors": ("batch", "reads", "width"),
}
"""The axes of each part of a state, in the order of `DNCState`."""

ADDRESSED = ("free", "allocation_gate", "write_gate", "modes")
"""What the recorder keeps of an interface."""


def access(state: DNCState, asked: Asked) -> tuple[DNCState, Blocks]:
    """Write, link, read: the memory's part of one step, h and c left as they are.

    Returns:
        the new state, and the addresses that it does not hold: the allocation.
    """
    was = state
    u = addressing.usage(was.usage, was.write_weights, was.read_weights, asked.free)
    a = addressing.allocation(u)
    found = addressing.content(was.memory, asked.write_key, asked.write_strength)
    gates = asked.allocation_gate, asked.write_gate
    w = addressing.write_weights(a, found.squeeze(1), *gates)
    memory = addressing.write(was.memory, w, asked.erase, asked.vector)
    links = addressing.links(was.links, was.precedence, w)
    found = addressing.content(memory, asked.read_keys, asked.read_strengths)
    rho = addressing.read_weights(links, was.read_weights, found, asked.modes)
    new = was._replace(
        memory=memory,
        usage=u,
        precedence=addressing.precedence(was.precedence, w),
        links=links,
        write_weights=w,
        read_weights=rho,
        read_vectors=addressing.read(memory, rho),
    )
    return new, {"allocation": a}


def output(state: DNCState) -> Float[Tensor, "B O"]:
    """[h ; r_1 .. r_R]: a linear layer on it is the paper's output."""
    return torch.cat([state.h, state.read_vectors.flatten(1)], -1)


class Given(NamedTuple):
    """What one step gets from outside.

    Arguments:
        x: the input's share of the controller's pre-activations.
        noise: of the controller's gate, for its blocks side by side.
        on_write: of the gate that overwrites.
        detached: whether h, or c, is detached; one for all, or one per example.
    """

    x: Float[Tensor, "B G"]
    noise: Float[Tensor, "B _"] | None = None
    on_write: Float[Tensor, "B _"] | None = None
    detached: Bool[Tensor, " *B"] | None = None


Kernels = tuple[compiled.Kernel, compiled.Kernel]
"""`Control` and `Remember`, compiled."""


@dataclass(frozen=True)
class DNCCore:
    """One step, as a function of plain tensors.

    Arguments:
        controller: the LSTM's step, with its gate.
        layout: of the interface.
        training: whether noise acts.
    """

    controller: Core
    layout: Layout
    training: bool

    @property
    def control(self) -> "Control":
        """The controller's part of the step, except for its product."""
        noisy = self.training and self.controller.gate.noise.draws
        return Control(self.controller, self.training, noisy)

    @property
    def remember(self) -> "Remember":
        """The memory's part of the step."""
        write = self.layout.core
        noisy = self.training and write is not None and write.gate.noise.draws
        return Remember(self.layout, self.training, noisy)

    def hear(
        self, weights: Sequence[Tensor], state: DNCState, given: Given
    ) -> tuple[Float[Tensor, "B G"], Float[Tensor, "B H"]]:
        """What h and the vectors that were read say to the controller; and its c.

        Arguments:
            weights: of the controller for h and what was read, side by side, and its
                bias; of the interface, and its bias.
            state: of the step before.
            given: of this step.
        """
        core, rule = self.controller, self.controller.gate.gradient
        h, c = rule.h(state.h, given.detached), rule.c(state.c, given.detached)
        heard = torch.cat([h, state.read_vectors.flatten(1)], -1)
        return core.recurrent(given.x, heard, weights[0], weights[1]), c

    def see(
        self, weights: Sequence[Tensor], state: DNCState, given: Given
    ) -> tuple[DNCState, dict[str, Blocks]]:
        """A whole step, and what was seen on the way; arguments as for `hear`."""
        rec, c = self.hear(weights, state, given)
        h, c, gates = self.control.see(given.x, rec, c, given.noise)
        xi = F.linear(h, weights[2], weights[3])
        asked, on_write = self.layout.ask(xi, given.on_write, self.training)
        new, addresses = access(state._replace(h=h, c=c), asked)
        addresses |= {k: getattr(asked, k) for k in ADDRESSED}
        addresses |= {k: getattr(new, k) for k in DNCState._fields[2:]}
        return new, {"l0": gates, "memory": addresses | on_write}

    def step(
        self,
        weights: Sequence[Tensor],
        state: DNCState,
        given: Given,
        kernels: Kernels,
    ) -> DNCState:
        """The same step with both parts compiled."""
        control, remember = kernels
        rec, c = self.hear(weights, state, given)
        h, c = compiled.call(control, *_with(given.noise, given.x, rec, c))
        xi = F.linear(h, weights[2], weights[3])
        new = compiled.call(remember, *_with(given.on_write, xi, *state[2:-1]))
        return DNCState._make((h, c, *new))


@dataclass(frozen=True)
class Control:
    """The controller's part of a step, number by number.

    Arguments:
        core: the LSTM's step, with its gate.
        training: whether noise acts.
        noisy: whether there is any.
    """

    core: Core
    training: bool
    noisy: bool

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """h and c. Given: noise if there is any, x, rec and c as in `LSTMCore.step`."""
        noise, (x, rec, c) = _without(self.noisy, given)
        return self.see(x, rec, c, noise)[:2]

    def see(self, x: Tensor, rec: Tensor, c: Tensor, noise: Tensor | None) -> Step:
        """h, c and the gates."""
        drawn = None if noise is None else split(noise, noise_blocks(self.core))
        return self.core.step(x, rec, c, c, drawn, self.training)  # h is in rec


@dataclass(frozen=True)
class Remember:
    """The memory's part of a step.

    Arguments:
        layout: of ξ.
        training: whether noise acts.
        noisy: whether there is any.
    """

    layout: Layout
    training: bool
    noisy: bool

    def __call__(self, *given: Tensor) -> tuple[Tensor, ...]:
        """What `DNCState` has behind c.

        Given: noise if there is any, ξ, and the same of the step before, but for what
        was read.
        """
        noise, (xi, *parts) = _without(self.noisy, given)
        asked, _ = self.layout.ask(xi, noise, self.training)
        none = xi[:, :0]  # h, c and what was read before play no part
        was = DNCState._make((none, none, *parts, parts[0][:, :0]))
        new, _ = access(was, asked)
        return new[2:]


def _with(noise: Tensor | None, *given: Tensor) -> tuple[Tensor, ...]:
    """Noise in front of what else is given, if there is any."""
    return given if noise is None else (noise, *given)


def _without(
    noisy: bool, given: tuple[Tensor, ...]
) -> tuple[Tensor | None, tuple[Tensor, ...]]:
    """The two apart again."""
    return (given[0], given[1:]) if noisy else (None, given)


class DNC(nn.Module):
    """A differentiable neural computer (Graves et al. 2016), called as `LSTM` is.

    A controller, an LSTM with any gate of the grid, reads the input and what the heads
    read in the last step. From its h come the keys and gates by which it writes one
    row, and reads others: found by content, or written before or after those that it
    has just read.

    The output is [h ; r'], H + R·W numbers per step: a linear layer on it is the
    paper's output, y = W_y h + W_r [r'_1 .. r'_R].

    On a CPU with a C compiler, steps in float32 and float64 are compiled where there
    are enough of them; all else, and a block of `gatebook.reference`, runs a loop in
    Python. Rows that are used equally may come in another order there, which changes
    nothing that is read.

    Noise, h-detach and c-detach of ``gate`` act in the controller as in an `LSTM`; the
    gradient through the vectors that were read is never blocked.

    Arguments:
        input_size: features of the input.
        hidden_size: H, units of the controller.
        rows: N, rows of the memory.
        width: W, numbers in a row.
        reads: R, read heads. There is one write head, as in the paper.
        gate: of the controller; a name (`gatebook.GATES`) or a `Gate`.
        memory_gate: ``None`` is the paper's erase vector. Our own extension: a gate of
            the grid over the W numbers of a row, made by the controller as the erase
            vector is, whose f is what a write keeps, and whose i is what it adds:
            M' = M ∘ (1 - w (1 - f)) + w (i ∘ v). The addressing stays as it is.
        h_detach: probability of detaching h at a time step (P3).
        c_detach: probability of detaching c at a time step (P3 §4.3).
        seed: as for `gatebook.LSTM`.
        device: where the parameters live.
        dtype: their dtype.

    Example:
        >>> import torch
        >>> output, state = DNC(10, 20, rows=8, width=6)(torch.zeros(7, 3, 10))
        >>> output.shape, state.memory.shape
        (torch.Size([7, 3, 32]), torch.Size([3, 8, 6]))
    """

    batch_first = False
    bidirectional = False

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rows: int = 16,
        width: int = 16,
        reads: int = 2,
        *,
        gate: str | Gate = "LSTM",
        memory_gate: str | Gate | None = None,
        h_detach: float = 0.0,
        c_detach: float = 0.0,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        super().__init__()
        sizes = {"input_size": input_size, "hidden_size": hidden_size}
        for name, value in (sizes | {"rows": rows, "width": width}).items():
            check_count(name, value)
        check_count("reads", reads)
        self.input_size, self.hidden_size = int(input_size), int(hidden_size)
        self.rows, self.width, self.reads = int(rows), int(width), int(reads)
        self.output_width = self.hidden_size + self.reads * self.width
        place: dict[str, Any] = {"device": device, "dtype": dtype}
        self.controller = LSTMCell(
            self.input_size + self.reads * self.width,
            self.hidden_size,
            gate=gate,
            h_detach=h_detach,
            c_detach=c_detach,
            seed=seed,
            **place,
        )
        self.interface = Interface(
            self.hidden_size, self.width, self.reads, memory_gate, **place
        )
        self.recorder: Record | None = None  # see record.record

    @property
    def gate(self) -> Gate:
        """The controller's point of the grid."""
        return self.controller.gate

    @property
    def memory_gate(self) -> Gate | None:
        """The gate of the grid that overwrites rows; ``None`` for the erase vector."""
        core = self.interface.core
        return None if core is None else core.gate

    @property
    def streams(self) -> Streams:
        """The random streams, the controller's own."""
        return self.controller.streams

    def set_detach(self, p: float) -> None:
        """Change the detaching probability; see `gatebook.rnn.RNN.set_detach`."""
        self.controller.set_detach(p)

    def reset_parameters(self) -> None:
        """Weights from U(-1/√H, 1/√H), biases 0 except by the laws of the gates."""
        self.controller.reset_parameters()
        self.interface.reset_parameters()

    # -- running -----------------------------------------------------------

    def forward(
        self, input: Tensor, state: DNCState | None = None
    ) -> tuple[Float[Tensor, "T B O"], DNCState]:
        """Run over a sequence.

        Arguments:
            input: (T, B, input_size).
            state: of the step before the first; zeros if ``None``.

        Returns:
            the outputs [h ; r'_1 .. r'_R], and the last state.
        """
        checks.check_tensor(input)
        checks.check_input(input, 3, self.input_size, self.batch_first)
        checks.check_place(input, "input", self.interface.weight)
        kind = _autocasts_to(input)
        if kind is None:
            return self._run(input, self._state(state, input))
        with torch.autocast(input.device.type, enabled=False):
            x = input.to(self.interface.weight.dtype)
            out, state = self._run(x, self._state(state, x))
            return out.to(kind), state

    def step(
        self, input: Tensor, state: DNCState | None = None
    ) -> tuple[Float[Tensor, "B O"], DNCState]:
        """Run one time step; steps in turn equal the whole.

        Arguments:
            input: (B, input_size).
            state: of the step before; zeros if ``None``.
        """
        checks.check_step(input, self.input_size, alone=False)
        out, state = self(input[None], state)
        return out[0], state

    def _run(
        self, x: Float[Tensor, "T B I"], state: DNCState
    ) -> tuple[Float[Tensor, "T B O"], DNCState]:
        """All steps; what the input alone decides is done before them."""
        core, own = self._core(), self.controller._weights("l0")
        of_x, of_reads = own.ih.tensor_split([self.input_size], 1)
        inputs = self._inputs(core, F.linear(x, of_x, own.bias_ih))
        recurrent, bias = torch.cat([own.hh, of_reads], 1), own.bias_hh
        assert bias is not None
        weights = recurrent, bias, self.interface.weight, self.interface.bias
        return self._loop(core, weights, state, inputs)

    def _core(self) -> DNCCore:
        """One step of this module, as it is now."""
        layout = self.interface.layout
        assert layout is not None
        return DNCCore(self.controller.core, layout, self.training)

    def _inputs(
        self, core: DNCCore, x: Float[Tensor, "T B G"]
    ) -> dict[str, Float[Tensor, "T *B"] | Bool[Tensor, "T *B"]]:
        """What all steps get, by its name in `Given`."""
        found: dict[str, Tensor | None] = {"x": x}
        if self.training:
            draws = draw(core.controller, x, (0.0, 0.0), self.streams)
            found |= {"noise": draws.noise, "on_write": self._noise_on_write(x)}
            found |= {"detached": draws.detached}
        return {name: value for name, value in found.items() if value is not None}

    def _noise_on_write(self, like: Float[Tensor, "T B G"]) -> Tensor | None:
        """Noise of the gate that overwrites, from a stream of its own."""
        core = self.interface.core
        if core is None or not core.gate.noise.draws:
            return None
        shape = (*like.shape[:2], sum(core.blocks().values()))
        stream = self.streams["memory_noise", like.device]
        return core.gate.noise.sample(shape, like, stream)

    def _loop(
        self,
        core: DNCCore,
        weights: Sequence[Tensor],
        state: DNCState,
        inputs: dict[str, Tensor],
    ) -> tuple[Float[Tensor, "T B O"], DNCState]:
        """The loop over time; the recorder watches all that a step does."""
        log: Log | None = None if self.recorder is None else {"l0": {}, "memory": {}}
        kernels = None if log is not None else self._kernels(core, state, inputs)
        outputs = []
        for now in zip(*(value.unbind() for value in inputs.values()), strict=True):
            given = Given(**dict(zip(inputs, now, strict=True)))
            if kernels is not None:
                state = core.step(weights, state, given, kernels)
            else:
                state, seen = core.see(weights, state, given)
                if log is not None:
                    _note(log, seen)
            outputs.append(output(state))
        if self.recorder is not None and log is not None:
            for part, lists in log.items():
                self.recorder[part] = {k: torch.stack(v) for k, v in lists.items()}
        return torch.stack(outputs), state

    def _kernels(
        self, core: DNCCore, state: DNCState, inputs: dict[str, Tensor]
    ) -> Kernels | None:
        """Both parts of a step, compiled; ``None`` where the loop must do."""
        now = {name: value[0] for name, value in inputs.items()}
        x, noise = now["x"], now.get("noise")
        xi = x.new_empty(len(x), sum(core.layout.blocks().values()))
        work = inputs["x"][..., 0].numel()
        parts = (
            _with(noise, x, x, state.c),
            _with(now.get("on_write"), xi, *state[2:-1]),
        )
        control = compiled.kernel(core.control, parts[0], work)
        remember = compiled.kernel(core.remember, parts[1], work)
        if control is None or remember is None:
            return None
        return control, remember

    def _state(self, given: Any, x: Tensor) -> DNCState:
        """The state before the first step: zeros by default."""
        shapes = self._shapes(x.shape[1])
        if given is None:
            return DNCState(*(x.new_zeros(shape) for shape in shapes.values()))
        if not isinstance(given, DNCState):
            raise TypeError(
                f"state is a {type(given).__name__}; allowed: a DNCState, or None"
            )
        for name, value in given._asdict().items():
            checks.check_state(value, shapes[name], AXES[name], f"state.{name}")
            checks.check_place(value, f"state.{name}", self.interface.weight)
        return given

    def _shapes(self, batch: int) -> dict[str, tuple[int, ...]]:
        """Of each part of a state."""
        own = {"batch": batch, "hidden_size": self.hidden_size}
        own |= {"rows": self.rows, "width": self.width, "reads": self.reads}
        return {name: tuple(own[a] for a in axes) for name, axes in AXES.items()}

    def extra_repr(self) -> str:
        """Sizes, and the gate of the memory; the controller says its own."""
        sizes = f"rows={self.rows}, width={self.width}, reads={self.reads}"
        return f"{sizes}, memory_gate={self.memory_gate}"


Log = dict[str, dict[str, list[Tensor]]]
"""Part (``"l0"``, ``"memory"``) to name to a value per step."""


def _note(log: Log, seen: dict[str, Blocks]) -> None:
    """Keep what a step has seen."""
    for part, values in seen.items():
        for name, value in values.items():
            log[part].setdefault(name, []).append(value.detach())


def _autocasts_to(x: Tensor) -> torch.dtype | None:
    """What autocast computes in here; ``None`` where it is off.

    All of a step is then worked out in the weights' own precision: a memory and links
    that are rounded to eight bits at each step would lose what they add up.
    """
    kind = x.device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return None
    return torch.get_autocast_dtype(kind)
