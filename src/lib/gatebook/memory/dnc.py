"""The differentiable neural computer, with gates of the grid.

Graves et al. 2016; details from google-deepmind/dnc @f5981c6, dnc/access.py.
"""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from gatebook.errors import check_count
from gatebook.gates import Blocks, Gate
from gatebook.memory import addressing
from gatebook.memory.interface import Asked, Interface
from gatebook.random import Streams
from gatebook.recurrence.scan import draw, per_step
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


class Drawn(NamedTuple):
    """What is random in one step.

    Arguments:
        noise: of the controller's gate, by block.
        detached: whether h, or c, is detached; one for all, or one an example.
        on_write: noise of the memory's gate.
    """

    noise: Blocks | None = None
    detached: Bool[Tensor, " *B"] | None = None
    on_write: Float[Tensor, "B K"] | None = None


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


class DNC(nn.Module):
    """A differentiable neural computer (Graves et al. 2016), called as `LSTM` is.

    A controller, an LSTM with any gate of the grid, reads the input and what the heads
    read in the last step. From its h come the keys and gates by which it writes one
    row, and reads others: found by content, or written before or after those that it
    has just read.

    The output is [h ; r'], H + R·W numbers a step: a linear layer on it is the paper's
    output, y = W_y h + W_r [r'_1 .. r'_R].

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
        """Weights from U(-1/√H, 1/√H), biases 0 but for the laws of the gates."""
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
        checks.check_kind(input)
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
        checks.check_step(input, self.input_size)
        out, state = self(input[None], state)
        return out[0], state

    def _run(
        self, x: Float[Tensor, "T B I"], state: DNCState
    ) -> tuple[Float[Tensor, "T B O"], DNCState]:
        """The loop over time; what the input alone decides is done before it."""
        own = self.controller._weights("l0")
        of_x, of_reads = own.ih.tensor_split([self.input_size], 1)
        projected = F.linear(x, of_x, own.bias_ih)
        weights = torch.cat([own.hh, of_reads], 1), own.bias_hh
        log: Log | None = None if self.recorder is None else {"l0": {}, "memory": {}}
        outputs = []
        for x_t, drawn in zip(projected.unbind(), self._draws(projected), strict=True):
            state, seen = self._one(x_t, weights, state, drawn)
            outputs.append(torch.cat([state.h, state.read_vectors.flatten(1)], -1))
            if log is not None:
                _note(log, seen)
        if self.recorder is not None and log is not None:
            for part, lists in log.items():
                self.recorder[part] = {k: torch.stack(v) for k, v in lists.items()}
        return torch.stack(outputs), state

    def _draws(self, like: Float[Tensor, "T B G"]) -> list[Drawn]:
        """What each step has drawn; nothing in evaluation."""
        core, steps = self.controller.core, len(like)
        if not self.training:
            return [Drawn()] * steps
        draws = draw(core, like, (0.0, 0.0), self.streams)
        noise, detached, *_ = per_step(core, draws, None, steps)
        on_write = self._noise_on_write(like)
        return [Drawn(*of) for of in zip(noise, detached, on_write, strict=True)]

    def _noise_on_write(self, like: Float[Tensor, "T B G"]) -> list[Tensor | None]:
        """Noise of the gate that overwrites, from a stream of its own."""
        core, (steps, batch, _) = self.interface.core, like.shape
        if core is None or not core.gate.noise.draws:
            return [None] * steps
        shape = (steps, batch, sum(core.blocks().values()))
        stream = self.streams["memory_noise", like.device]
        noise = core.gate.noise.sample(shape, like, stream)
        return [None] * steps if noise is None else list(noise.unbind())

    def _one(
        self,
        x: Float[Tensor, "B G"],
        weights: tuple[Tensor, Tensor | None],
        state: DNCState,
        drawn: Drawn,
    ) -> tuple[DNCState, dict[str, Blocks]]:
        """One step, and what was seen on the way.

        Arguments:
            x: the input's share of the controller's pre-activations.
            weights: of h and of the vectors that were read, side by side; and a bias.
            state: of the step before.
            drawn: this step's noise and detaching.
        """
        core = self.controller.core
        rule = core.gate.gradient
        h, c = rule.h(state.h, drawn.detached), rule.c(state.c, drawn.detached)
        heard = torch.cat([h, state.read_vectors.flatten(1)], -1)
        rec = core.recurrent(x, heard, *weights)
        h, c, gates = core.step(x, rec, h, c, drawn.noise, self.training)
        asked, on_write = self.interface.ask(h, drawn.on_write, self.training)
        state, addresses = access(state._replace(h=h, c=c), asked)
        if self.recorder is None:
            return state, {}
        addresses |= {k: getattr(asked, k) for k in ADDRESSED}
        addresses |= {k: getattr(state, k) for k in DNCState._fields[2:]}
        return state, {"l0": gates, "memory": addresses | on_write}

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
"""Part (``"l0"``, ``"memory"``) to name to a value a step."""


def _note(log: Log, seen: dict[str, Blocks]) -> None:
    """Keep what a step has seen."""
    for part, values in seen.items():
        for name, value in values.items():
            log[part].setdefault(name, []).append(value.detach())


def _autocasts_to(x: Tensor) -> torch.dtype | None:
    """What autocast computes in here; ``None`` where it is off.

    All of a step is then worked out in the weights' own precision: a memory and links
    that are rounded to eight bits a step would lose what they add up.
    """
    kind = x.device.type
    if not (torch.amp.is_autocast_available(kind) and torch.is_autocast_enabled(kind)):
        return None
    return torch.get_autocast_dtype(kind)
