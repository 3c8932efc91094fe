"""The grid: a gate is one choice on each axis; the papers' names are its points."""

from dataclasses import dataclass, field, replace

import torch

from gatebook.errors import check_choice, check_probability
from gatebook.gates.activation import Activation, Chrono, Constant, Ordered, Uniform
from gatebook.gates.auxiliary import Auxiliary, Blocks, Master, Plain, Refine, Tied
from gatebook.gates.gradient import CDetach, Full, GradientRule, HDetach
from gatebook.gates.noise import Gumbel, Noise, Sharpened, Silent


@dataclass(frozen=True)
class Gate:
    """A gate: one choice on each of four axes, for ``LSTM(..., gate=Gate(...))``.

    Example:
        >>> Gate(Uniform(), Refine()) == GATES["UR"]
        True
        >>> Gate(Uniform(), Refine(), Gumbel(tau=0.5), HDetach(0.25)).noise.tau
        0.5
    """

    activation: Activation = field(default_factory=Constant)
    auxiliary: Auxiliary = field(default_factory=Plain)
    noise: Noise = field(default_factory=Silent)
    gradient: GradientRule = field(default_factory=Full)

    def __post_init__(self):
        axes = {
            "activation": Activation,
            "auxiliary": Auxiliary,
            "noise": Noise,
            "gradient": GradientRule,
        }
        for axis, kinds in axes.items():
            if not isinstance(getattr(self, axis), kinds):
                allowed = ", ".join(k.__name__ for k in kinds.__args__)
                found = getattr(self, axis)
                raise TypeError(f"{axis} is {found!r}; allowed: an object of {allowed}")

    def blocks(self, units: int, tied: bool = False) -> dict[str, int]:
        """Names and sizes of the gate's pre-activations for ``units`` units."""
        return self.auxiliary.blocks(units, tied)

    def effective(
        self,
        pre: Blocks,
        noise: Blocks | None = None,
        training: bool = False,
        tied: bool = False,
    ) -> Blocks:
        """Gate activations, among them the effective forget and input gates.

        Arguments:
            pre: pre-activations by block name, each (..., units of the block).
            noise: the draws of `Gumbel.sample` by block name, or ``None``.
            training: whether noise acts.
            tied: whether i = 1 - f, as in a GRU.

        Returns:
            activations in [0, 1] by name, with ``"effective_forget"`` and
            ``"effective_input"`` of shape (..., units).
        """
        noisy = self.noisy(pre, noise, training)
        return self.auxiliary.combine(noisy, self.activation, tied)

    def noisy(
        self, pre: Blocks, noise: Blocks | None = None, training: bool = False
    ) -> Blocks:
        """The pre-activations with the noise of training added."""
        return {
            name: self.noise.apply(value, noise[name] if noise else None, training)
            for name, value in pre.items()
        }

    def initial_biases(
        self, units: int, tied: bool = False, generator: torch.Generator | None = None
    ) -> Blocks:
        """The biases that the initialisation fixes, by block name.

        Blocks that are not named keep the core's own initialisation. With master
        gates the law is that of the master's bias, and the fine gates start at 0.
        """
        sizes = self.blocks(units, tied)
        main = "master_forget" if "master_forget" in sizes else "forget"
        bias = self.activation.forget_bias(sizes[main], generator)
        fixed = {name: torch.zeros(size) for name, size in sizes.items()}
        fixed[main] = bias
        for name in self.auxiliary.mirrored():
            if self.activation.mirrors_input and name in sizes:
                fixed[name] = -bias
        return fixed


GATES: dict[str, Gate] = {
    # P2 Table 1. "LSTM" is the paper's "-": forget bias 1 (P2 §2.2).
    "LSTM": Gate(Constant(1.0)),
    "C": Gate(Chrono()),
    "O": Gate(Ordered()),
    "U": Gate(Uniform()),
    "R": Gate(Constant(1.0), Refine()),
    "OM": Gate(Ordered(), Master()),
    "OR": Gate(Ordered(), Refine()),
    "UM": Gate(Uniform(), Master()),
    "UR": Gate(Uniform(), Refine()),
    # R without its refine gate: what the tied input gate does alone.
    "CIFG": Gate(Constant(1.0), Tied()),
    # The later published UR code starts with r = 1/2.
    "UR-s4": Gate(Uniform(), Refine(bias="zero")),
    # P1 and P3 have no forget bias: their baseline, and P1's two gates.
    "LSTM0": Gate(Constant(0.0)),
    "G2": Gate(Constant(0.0), noise=Gumbel()),
    "sharpened": Gate(Constant(0.0), noise=Sharpened()),
}
"""Named gates, most of them from the papers, as points of the grid."""

NINE = ("LSTM", "C", "O", "U", "R", "OM", "OR", "UM", "UR")
"""The nine gates of P2 Tables 1 and 2, in the paper's order."""


def resolve(gate: str | Gate) -> Gate:
    """The gate object for a paper's name; an object passes through.

    Raises:
        ValueError: for an unknown name, naming the nearest known one.
        TypeError: for anything that is neither a name nor a `Gate`.
    """
    if isinstance(gate, Gate):
        return gate
    if not isinstance(gate, str):
        raise TypeError(f"gate is {gate!r}; allowed: a name or a Gate object")
    check_choice("gate", gate, GATES)
    return GATES[gate]


def with_detach(gate: Gate, h_detach: float = 0.0, c_detach: float = 0.0) -> Gate:
    """``gate`` with the gradient rule that the two probabilities name."""
    check_probability("h_detach", h_detach)
    check_probability("c_detach", c_detach)
    if h_detach and c_detach:
        raise ValueError(
            f"h_detach is {h_detach!r} and c_detach is {c_detach!r}; "
            "allowed: one of them above 0"
        )
    if not (h_detach or c_detach):
        return gate
    if gate.gradient != Full():
        raise ValueError(
            f"h_detach or c_detach is given, but gate has {gate.gradient!r} already"
        )
    rule = HDetach(h_detach) if h_detach else CDetach(c_detach)
    return replace(gate, gradient=rule)


def with_probability(gate: Gate, p: float) -> Gate:
    """``gate`` with another probability of detaching.

    Raises:
        ValueError: for a probability outside [0, 1], or a gate that does not detach at
            all.
    """
    rule = gate.gradient
    if not isinstance(rule, HDetach | CDetach):
        raise ValueError(f"gradient rule is {rule!r}; allowed: HDetach or CDetach")
    return replace(gate, gradient=replace(rule, p=p))
