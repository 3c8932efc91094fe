"""The recurrence over time: the literate reference loop.

The input's product is done once for all steps before the loop, and the sequence
is unbound once: indexing ``x[t]`` under autograd would make the backward pass
quadratic in T, since each index fills a gradient of the whole sequence.
"""

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

from gatebook.random import Streams
from gatebook.recurrence.cells import Core, noise_blocks, split


@dataclass(frozen=True)
class Draws:
    """All that is random in one pass over a sequence, drawn before the loop.

    Arguments:
        noise: gate noise (T, B, N) over the gate's blocks in the core's order.
        detached: where the gradient is blocked, (T,) or (T, B).
        keep_h: where zoneout keeps the old h, (T, B, H).
        keep_c: where zoneout keeps the old c, (T, B, H).
    """

    noise: Float[Tensor, "T B N"] | None = None
    detached: Bool[Tensor, "T *B"] | None = None
    keep_h: Bool[Tensor, "T B H"] | None = None
    keep_c: Bool[Tensor, "T B H"] | None = None


def draw(
    core: Core, like: Float[Tensor, "T B G"], zoneout: tuple[float, float], s: Streams
) -> Draws:
    """Draw a pass's randomness, each kind from its own stream.

    Arguments:
        core: the core that will run.
        like: the projected input; gives lengths, dtype and device.
        zoneout: probabilities (of c, of h) to keep the old value.
        s: the model's streams.
    """
    steps, batch, _ = like.shape
    wide = (steps, batch, sum(noise_blocks(core).values()))
    noise = detached = None
    if core.gate.noise.draws:
        noise = core.gate.noise.sample(wide, like, s["noise", like.device])
    if core.gate.gradient.draws:
        detached = core.gate.gradient.sample(steps, batch, s["detach", "cpu"])
    if detached is not None and detached.dim() == 2:
        detached = detached.to(like.device)
    keep_c, keep_h = (
        _keep(core, like, p, s, name)
        for p, name in zip(zoneout, ("zoneout_c", "zoneout_h"), strict=True)
    )
    return Draws(noise, detached, keep_h, keep_c)


def _keep(core: Core, like: Tensor, p: float, s: Streams, name: str) -> Tensor | None:
    if p == 0:
        return None
    shape = (*like.shape[:2], core.hidden_size)
    return torch.rand(shape, generator=s[name, like.device], device=like.device) < p


@dataclass(frozen=True)
class Weights:
    """One layer's parameters in one direction, in torch's shapes."""

    ih: Float[Tensor, "G I"]
    hh: Float[Tensor, "G H"]
    bias_ih: Float[Tensor, " G"] | None = None
    bias_hh: Float[Tensor, " G"] | None = None

    def all(self) -> tuple[Tensor, Tensor, Tensor | None, Tensor | None]:
        """The four, in this order."""
        return self.ih, self.hh, self.bias_ih, self.bias_hh


@dataclass(frozen=True)
class Pass:
    """All that one layer in one direction needs to run; arguments as for `layer`."""

    core: Core
    x: Float[Tensor, "T B I"]
    weights: Weights
    h: Float[Tensor, "B H"]
    c: Float[Tensor, "B H"]
    draws: Draws | None = None
    alive: Bool[Tensor, "T B"] | None = None
    zoneout: tuple[float, float] = (0.0, 0.0)

    def options(self) -> dict[str, Any]:
        """The arguments by keyword of `layer` and of the fused scan."""
        return {"draws": self.draws, "alive": self.alive, "zoneout": self.zoneout}


Result = tuple[Float[Tensor, "T B H"], Float[Tensor, "B H"], Float[Tensor, "B H"]]
"""Outputs h_1..h_T, the last h and the last c."""


def layer(
    core: Core,
    x: Float[Tensor, "T B I"],
    weights: Weights,
    h: Float[Tensor, "B H"],
    c: Float[Tensor, "B H"],
    **options: Any,
) -> Result:
    """Project the input of all steps, then `scan` with the same options.

    The fused scan does the same in one operation.
    """
    projected = F.linear(x, weights.ih, weights.bias_ih)
    return scan(core, projected, weights.hh, weights.bias_hh, h, c, **options)


def scan(
    core: Core,
    projected: Float[Tensor, "T B G"],
    weight_hh: Float[Tensor, "G H"],
    bias_hh: Float[Tensor, " G"] | None,
    h: Float[Tensor, "B H"],
    c: Float[Tensor, "B H"],
    *,
    draws: Draws | None = None,
    alive: Bool[Tensor, "T B"] | None = None,
    zoneout: tuple[float, float] = (0.0, 0.0),
    log: dict[str, list[Tensor]] | None = None,
) -> Result:
    """Run the core over time, one step after the other.

    Arguments:
        core: LSTM or GRU around a gate.
        projected: x W_ih' + b_ih for all steps.
        weight_hh: recurrent weight.
        bias_hh: recurrent bias.
        h: initial hidden state.
        c: initial cell state (a GRU's is its h).
        draws: this pass's randomness; ``None`` is evaluation.
        alive: False past the end of a sequence: its state stands still and its
            output is 0.
        zoneout: probabilities (of c, of h), for the mean that evaluation takes.
        log: gets every step's gate activations by name.

    Returns:
        outputs h_1..h_T, the last h and the last c.
    """
    training = draws is not None
    draws = draws or Draws()
    rule, outputs = core.gate.gradient, []
    for x, noise, detached, keep_h, keep_c, live in zip(
        projected.unbind(), *_per_step(core, draws, alive, len(projected)), strict=True
    ):
        read_h = rule.h(h, detached)
        read_c = rule.c(c, detached)
        rec = core.recurrent(x, read_h, weight_hh, bias_hh)
        new_h, new_c, gates = core.step(x, rec, read_h, read_c, noise, training)
        new_c = zone_out(c, new_c, keep_c, zoneout[0], training)
        new_h = zone_out(h, new_h, keep_h, zoneout[1], training)
        if core.tied:
            new_c = new_h  # a GRU has one state
        out = new_h
        if live is not None:
            new_h, new_c = torch.where(live, new_h, h), torch.where(live, new_c, c)
            out = out * live
        h, c = new_h, new_c
        outputs.append(out)
        if log is not None:
            for name, value in gates.items():
                log.setdefault(name, []).append(value.detach())
    return torch.stack(outputs), h, c


def _per_step(
    core: Core, draws: Draws, alive: Tensor | None, steps: int
) -> list[list[Any]]:
    """Each draw cut into steps; a list of ``None`` where nothing was drawn."""

    def cut(whole: Tensor | None) -> list[Tensor | None]:
        return [None] * steps if whole is None else list(whole.unbind())

    sizes = noise_blocks(core)
    noise = [n if n is None else split(n, sizes) for n in cut(draws.noise)]
    live = cut(None if alive is None else alive[..., None])
    return [noise, cut(draws.detached), cut(draws.keep_h), cut(draws.keep_c), live]


def zone_out(
    old: Tensor, new: Tensor, keep: Tensor | None, p: float, training: bool
) -> Tensor:
    """Zoneout (Krueger et al. 2017): keep the old value where drawn, or on average."""
    if keep is not None:
        return torch.where(keep, old, new)
    if training or p == 0:
        return new
    return p * old + (1 - p) * new
