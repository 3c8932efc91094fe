"""sLSTM: exponential gates that read h, so that its steps follow one another."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.gates import Gate, with_probability
from gatebook.gates.auxiliary import Blocks
from gatebook.modern import gates, slstm_fast
from gatebook.modern.cell import Cell, Real, check_divides, masked, wide
from gatebook.modern.starts import Graded

FAR = 1e4
"""A logit at which σ is 1, and exp of its negative nothing, in every precision."""

Parts = tuple[Tensor, Tensor, Tensor, Tensor]
"""h, c, n and m, each (B, H)."""


class SLSTM(Cell):
    """sLSTM (Beck et al. 2024): c = f c + i tanh(z), n = f n + i, h = o c / n.

    f = σ(z_f), i = exp(z_i), o = σ(z_o), not tied. All four read h, each head its own,
    by ``recurrent_weight``, which starts at 0: the one cell here that is not linear in
    its state, and the one that h-detach fits. With p = 1 it is the "gradient cut" of
    FlashRNN. c and n are scaled by exp(-m) with m = max(log f + m, z_i), or m = z_i
    where n is 0; no output depends on m, which has no gradient.

    Source: arXiv 2405.04517; NX-AI/xlstm@032a6fb xlstm/blocks/slstm/cell.py;
    NX-AI/flashrnn@d73fb52 flashrnn/alternating/flashrnn_backward_cut.cu. There m = z_i
    only where all n are 0 (the CUDA code: where each is, as here). Convolution and
    norm are left out, and the gates read all of x, there each head its own part.

    Arguments:
        input_size: I, features of the input.
        hidden_size: H, the number of units.
        heads: a divisor of H; units read those of their own head.
        batch_first: as for `MinGRU`.
        gate: as for `MinGRU`, and with the gradient rule `HDetach`, too; ``None``
            starts by `Graded`. Refine gate and noise act on f.
        seed: of noise and detaching.
        device: as for `MinGRU`.
        dtype: as for `MinGRU`.

    Raises:
        ValueError: as for `MinGRU`, and for heads that do not divide H.

    Example:
        >>> import torch
        >>> from gatebook.gates import Gate, HDetach
        >>> cut = Gate(Graded(), gradient=HDetach(1.0))
        >>> output, (h, c, n, m) = SLSTM(10, 32, gate=cut)(torch.zeros(7, 3, 10))
        >>> output.shape, h.shape
        (torch.Size([7, 3, 32]), torch.Size([3, 32]))
    """

    published = Gate(Graded())
    takes = gates.Takes(detach="")
    named = ("heads",)
    quiet = ("candidate", "input", "output")

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        *,
        heads: int = 4,
        batch_first: bool = False,
        gate: str | Gate | None = None,
        seed: int | None = None,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ):
        gate = Gate(Graded(heads=heads)) if gate is None else gate
        super().__init__(input_size, hidden_size, gate, seed, batch_first=batch_first)
        self.heads = check_divides(heads, self.hidden_size)
        place: Any = {"device": device, "dtype": dtype}
        self._make_gates(self.input_size, self.hidden_size, place, *self.quiet)
        width = self.hidden_size // self.heads
        rows = len(self.blocks) * width
        empty = torch.empty(self.heads, width, rows, **place)
        self.recurrent_weight = nn.Parameter(empty)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Weights as `torch.nn.Linear`, recurrent ones at 0; the gate by its law."""
        super().reset_parameters()
        nn.init.zeros_(self.recurrent_weight)

    def set_detach(self, p: float) -> None:
        """Change the detaching probability; see `gatebook.LSTM.set_detach`."""
        self.gate = with_probability(self.gate, p)

    def _biases(self, fixed):
        zeros = torch.zeros_like(fixed["forget"])
        return dict.fromkeys(self.quiet, zeros) | fixed

    def _shapes(self):
        return dict.fromkeys("hcnm", (self.hidden_size,))

    def _log_forget(self, x):
        return gates.log_forget(self._pre(x, noisy=False))

    def _sequence(self, x, state, real):
        entered = self._held(wide(self._linear(x)), real)
        noise = self._drawn(entered)
        detached = self._detached(*x.shape[:2])
        compiled = self.recorder is None and slstm_fast.usable(entered, *state)
        run = self._compiled if compiled else self._loop
        outputs, (h, *rest) = run(entered, noise, detached, state)
        if real is not None:  # h is that of the last output, which has o in it
            h = outputs[real.sum(0) - 1, torch.arange(x.shape[1], device=x.device)]
        return outputs, (h, *rest)

    def _held(self, pre: Float[Tensor, "T B Z"], real: Real) -> Float[Tensor, "T B Z"]:
        """Behind a sequence's end f = 1 and i = 0, whatever the gates read of h."""
        if real is None:
            return pre
        ends = {"forget": FAR, "input": -FAR}
        blocks = self._split(pre, self.blocks)
        held = {k: masked(blocks[k], real, value) for k, value in ends.items()}
        return torch.cat(list((blocks | held).values()), -1)

    def _loop(self, entered, noise, detached, state):
        """The reference: one step after the other."""
        outputs, log = [], []
        for t, row in enumerate(entered):
            h, *rest = state
            seen = h if detached is None else self.gate.gradient.h(h, detached[t])
            drawn = None if noise is None else noise[t]
            pre = self._blocks(row + self._read(seen), drawn)
            state = step(pre, *rest)
            outputs.append(state[0])
            log.append(gates.log_forget(pre))
        self._note(effective_forget=torch.stack(log).exp())
        return torch.stack(outputs), state

    def _compiled(self, entered, noise, detached, state):
        """The same in C, which adds no noise and knows a temperature as a factor."""
        if noise is not None:
            loud = noise.shape[-1]
            quiet, own = entered.split((entered.shape[-1] - loud, loud), -1)
            entered = torch.cat([quiet, own + noise], -1)
        one = entered.new_ones(())
        drawn = None if noise is None else torch.zeros_like(one)
        scale = self.gate.noise.apply(one, drawn, noise is not None)
        weight = wide(self.recurrent_weight)
        return slstm_fast.run(entered, weight, scale, detached, state)

    def _read(self, h: Float[Tensor, "B H"]) -> Float[Tensor, "B Z"]:
        """What the blocks read of h, each head its own units."""
        heads = h.unflatten(-1, (self.heads, -1)).transpose(0, 1)
        read = torch.bmm(heads, wide(self.recurrent_weight))
        return read.unflatten(-1, (len(self.blocks), -1)).permute(1, 2, 0, 3).flatten(1)

    def _detached(self, steps: int, batch: int) -> Tensor | None:
        rule = self.gate.gradient
        if not (self.training and rule.draws):
            return None
        return rule.sample(steps, batch, self.streams["detach", "cpu"])


def step(pre: Blocks, c: Tensor, n: Tensor, m: Tensor) -> Parts:
    """One step from the pre-activations, each (B, H)."""
    log_f, z = gates.log_forget(pre), pre["input"]
    found = torch.where(n == 0, z, torch.maximum(log_f + m, z)).detach()
    # Above 0 only where n is 0, and then it must not become infinite.
    f, i = torch.exp((log_f + m - found).clamp(max=0)), torch.exp(z - found)
    c, n = f * c + i * torch.tanh(pre["candidate"]), f * n + i
    return torch.sigmoid(pre["output"]) * c / n, c, n, found
