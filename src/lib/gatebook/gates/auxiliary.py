"""Axis 2 of the grid: the auxiliary gate, from activations to effective gates.

Pre-activations are addressed by the names of their blocks (``"forget"``,
``"input"``, ``"refine"``, ``"master_forget"``, ``"master_input"``), never by
position.
"""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from gatebook.errors import check_choice, check_count
from gatebook.gates.activation import Activation

Blocks = dict[str, Tensor]
"""Pre-activations by block name, each of shape (..., units)."""


@dataclass(frozen=True)
class Plain:
    """No auxiliary gate: f and i act as they are."""

    def blocks(self, units: int, tied: bool) -> dict[str, int]:
        """The gate's blocks and their sizes; a tied gate has no input block."""
        return {"forget": units} if tied else {"input": units, "forget": units}

    def combine(self, pre: Blocks, activation: Activation, tied: bool) -> Blocks:
        """Effective gates, shape (..., units); tied means i = 1 - f."""
        f = activation.forget(pre["forget"])
        i = 1 - f if tied else activation.input(pre["input"])
        return {"forget": f, "effective_forget": f, "effective_input": i}

    def mirrored(self) -> tuple[str, ...]:
        """Blocks that start at minus the forget bias when the activation asks so."""
        return ("input",)


@dataclass(frozen=True)
class Tied(Plain):
    """No auxiliary gate, and i = 1 - f in any core: the CIFG of Greff et al. (2017).

    Half of what a refine gate gives an LSTM, and so the control for the other
    half. In a GRU, which ties by itself, it is the same as `Plain`.
    """

    def blocks(self, units: int, tied: bool) -> dict[str, int]:
        """The forget block alone."""
        return super().blocks(units, tied=True)

    def combine(self, pre: Blocks, activation: Activation, tied: bool) -> Blocks:
        """Effective gates f and 1 - f, shape (..., units)."""
        return super().combine(pre, activation, tied=True)


def refine(f: Float[Tensor, "*B"], r: Float[Tensor, "*B"]) -> Float[Tensor, "*B"]:
    """The effective gate g, P2 eq. 16: g = f + f(1 - f)(2r - 1).

    Equal to r(1 - (1 - f)²) + (1 - r) f²; eq. 12 as printed lost the square.
    """
    return f + f * (1 - f) * (2 * r - 1)


@dataclass(frozen=True)
class Refine:
    """Refine gate: r moves f inside [f², 1 - (1 - f)²]; i = 1 - g (P2 eqs. 10-13).

    Arguments:
        bias: initial bias of r. ``"mirrored"`` is minus the forget bias (P2
            Listing 2, used with `Uniform`): g is pulled towards 1/2 at the start.
            ``"zero"`` is the later published code (S4): r = 1/2, so that g = f.
    """

    bias: str = "mirrored"

    def __post_init__(self):
        check_choice("bias", self.bias, ("mirrored", "zero"))

    def blocks(self, units: int, tied: bool) -> dict[str, int]:
        """The refine block stands where an untied gate has its input block."""
        return {"refine": units, "forget": units}

    def combine(self, pre: Blocks, activation: Activation, tied: bool) -> Blocks:
        """Effective gates g and 1 - g, shape (..., units)."""
        f = activation.forget(pre["forget"])
        r = pre["refine"].sigmoid()  # P2 eq. 11
        g = refine(f, r)
        return {
            "forget": f,
            "refine": r,
            "effective_forget": g,
            "effective_input": 1 - g,
        }

    def mirrored(self) -> tuple[str, ...]:
        """r starts at σ(-b_f) in the paper's listing only."""
        return ("refine",) if self.bias == "mirrored" else ()


@dataclass(frozen=True)
class Master:
    """Master gates, P2 eqs. 19-23 (ON-LSTM); each master value serves C units.

    Arguments:
        downsize: C, the number of neighbouring units that share a master value;
            must divide the hidden size. P2 D takes 16, and 32 for language.
    """

    downsize: int = 16

    def __post_init__(self):
        check_count("downsize", self.downsize)

    def blocks(self, units: int, tied: bool) -> dict[str, int]:
        """Fine gates of all units, then masters of units / C."""
        if units % self.downsize:
            raise ValueError(
                f"downsize is {self.downsize}; allowed: a divisor of the hidden "
                f"size {units}"
            )
        few = units // self.downsize
        fine = Plain().blocks(units, tied)
        masters = {"master_forget": few} if tied else {"master_input": few}
        return fine | masters | {"master_forget": few}

    def combine(self, pre: Blocks, activation: Activation, tied: bool) -> Blocks:
        """Effective gates f̂ and î, shape (..., units)."""
        fm = activation.forget(pre["master_forget"])  # P2 eq. 19
        im = 1 - fm if tied else activation.input(pre["master_input"])  # P2 eq. 20
        if self.downsize > 1:
            fm, im = (m.repeat_interleave(self.downsize, -1) for m in (fm, im))
        f = pre["forget"].sigmoid()
        i = 1 - f if tied else pre["input"].sigmoid()
        overlap = fm * im  # ω, P2 eq. 21
        return {
            "forget": f,
            "master_forget": fm,
            "effective_forget": f * overlap + (fm - overlap),  # P2 eq. 22
            "effective_input": i * overlap + (im - overlap),  # P2 eq. 23
        }

    def mirrored(self) -> tuple[str, ...]:
        """The master input starts at minus the master forget bias (P2 eq. 33)."""
        return ("master_input",)


Auxiliary = Plain | Tied | Refine | Master
"""Any auxiliary gate: `Plain`, `Tied`, `Refine` or `Master`."""
