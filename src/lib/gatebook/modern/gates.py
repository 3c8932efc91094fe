"""The grid's gates where they do not read the state: for all steps at once.

A gate is worked out before the recurrence, so that its logarithm is at hand and no
digit is lost near 0 or 1: f and 1 - f both come from z, not from each other.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from gatebook.gates import Constant, Full, Gate, HDetach, Plain, Refine, resolve
from gatebook.gates.auxiliary import Blocks


def log_forget(pre: Blocks) -> Float[Tensor, "*T H"]:
    """log g of the refined gate, exact where g is close to 0 or to 1.

    g = f (1 + (1 - f)(2r - 1)), P2 eq. 16 factored; without a refine gate g = f.

    Arguments:
        pre: pre-activations of ``"forget"`` and, if there is one, ``"refine"``.
    """
    z = pre["forget"]
    if "refine" not in pre:
        return F.logsigmoid(z)
    tilt = torch.tanh(pre["refine"] / 2)  # 2 r - 1
    return F.logsigmoid(z) + torch.log1p(torch.sigmoid(-z) * tilt)


def log_input(pre: Blocks) -> Float[Tensor, "*T H"]:
    """log(1 - g): 1 - g = (1 - f)(1 - f (2r - 1)); arguments as for `log_forget`."""
    z = pre["forget"]
    if "refine" not in pre:
        return F.logsigmoid(-z)
    tilt = torch.tanh(pre["refine"] / 2)
    return F.logsigmoid(-z) + torch.log1p(-torch.sigmoid(z) * tilt)


def pair(pre: Blocks) -> tuple[Float[Tensor, "*T H"], Float[Tensor, "*T H"]]:
    """The forget gate g and the input gate 1 - g; arguments as for `log_forget`."""
    z = pre["forget"]
    f, i = torch.sigmoid(z), torch.sigmoid(-z)
    if "refine" not in pre:
        return f, i
    tilt = torch.tanh(pre["refine"] / 2)
    return f * (1 + i * tilt), i * (1 - f * tilt)


@dataclass(frozen=True)
class Takes:
    """What a cell can take of the grid, with the reason for what it cannot.

    Arguments:
        refine: why it has no refine gate; empty if it can have one.
        detach: why nothing can be detached; empty if h can be.
        draws: why its law cannot be drawn at random; empty if it can.
    """

    refine: str = ""
    detach: str = (
        "its gates do not read h, so that the gradient flows through the forget gates "
        "alone, as h-detach with p = 1 has it"
    )
    draws: str = ""


def resolved(gate: str | Gate | None, published: Gate, takes: Takes) -> Gate:
    """The gate object of a cell.

    Arguments:
        gate: a paper's name, a `Gate`, or ``None`` for the published one.
        published: the cell's own start.
        takes: what the cell can take.

    Raises:
        ValueError: for a gate that the cell cannot take, with the reason.
    """
    found = published if gate is None else resolve(gate)
    kind = type(found.activation)
    if not (issubclass(kind, Constant) and kind.forget is Constant.forget):
        reason = f"with {kind.__name__} units act on each other within a step"
        raise _refused(gate, f"a sigmoid activation, since {reason}")
    if type(found.auxiliary) not in (Plain, Refine):
        name = type(found.auxiliary).__name__
        raise _refused(gate, f"Plain() or Refine(), and no {name}()")
    if takes.refine and type(found.auxiliary) is Refine:
        raise _refused(gate, f"a gate without Refine, since {takes.refine}")
    allowed = (Full,) if takes.detach else (Full, HDetach)
    if type(found.gradient) not in allowed:
        names = " or ".join(f"{k.__name__}" for k in allowed)
        why = takes.detach or "its c and n are the linear path, which P3 keeps open"
        raise _refused(gate, f"the gradient rule {names}, since {why}")
    if takes.draws and found.activation.mirrors_input:
        raise _refused(gate, f"Constant or Spaced, since {takes.draws}")
    return found


def _refused(gate: object, allowed: str) -> ValueError:
    return ValueError(f"gate is {gate!r}; allowed: {allowed}")
