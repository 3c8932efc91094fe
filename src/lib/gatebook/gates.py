r"""The grid of gates: from pre-activations to the effective forget and input gates.

A gate is a choice along four independent axes:

=============  ==========================================================
activation     `Constant`, `Chrono`, `Uniform`, `Ordered`
auxiliary      `Plain` (none), `Tied`, `Master`, `Refine`
noise          `Silent` (none), `Gumbel`, `Sharpened`
gradient       `Full`, `HDetach`, `CDetach`
=============  ==========================================================

`GATES` lists the papers' names as points of this grid.

Papers: P1 G2-LSTM (Li et al. 2018), P2 UR-LSTM (Gu et al. 2020), P3 h-detach
(Kanuparthi et al. 2019) in Didolkar's report. Pre-activations are addressed by
the names of their blocks (``"forget"``, ``"input"``, ``"refine"``,
``"master_forget"``, ``"master_input"``), never by position.
"""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from gatebook.errors import (
    check_choice,
    check_count,
    check_positive,
    check_probability,
)

Blocks = dict[str, Tensor]
"""Pre-activations by block name, each of shape (..., units)."""


# --------------------------------------------------------------------------
# Axis 1: activation and initialisation
# --------------------------------------------------------------------------


def cumax(pre: Float[Tensor, "*B H"]) -> Float[Tensor, "*B H"]:
    """cumsum(softmax(pre)): a vector that rises from above 0 to 1 (P2 §2.5)."""
    # Rounding may carry the sum past 1 by an ulp or two; a gate must not exceed 1.
    return pre.softmax(-1).cumsum(-1).clamp(max=1.0)


@dataclass(frozen=True)
class Constant:
    """Sigmoid gates; every forget unit starts with the same bias (P2 §2.2).

    Arguments:
        bias: initial forget bias. P2 takes 1.0 for its vanilla LSTM, P1 and P3
            have none (0.0).
    """

    bias: float = 1.0

    def forget(self, pre: Tensor) -> Tensor:
        """P2 eq. 2: f = σ(L_f)."""
        return pre.sigmoid()

    def input(self, pre: Tensor) -> Tensor:
        """P2 eq. 3: i = σ(L_i)."""
        return pre.sigmoid()

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """Initial forget bias of each unit, shape (units,)."""
        return torch.full((units,), float(self.bias))

    mirrors_input = False  # the input bias keeps the core's own initialisation


@dataclass(frozen=True)
class Chrono(Constant):
    """Chrono initialisation, P2 eq. 17: b_f ~ log U[1, T_max - 1], eq. 18: b_i = -b_f.

    Arguments:
        t_max: longest dependency expected, in steps (at least 2); ``None`` takes
            the number of units, as P2 §3 does when it is not tuned.
    """

    bias: float = field(default=0.0, init=False, repr=False)
    t_max: int | None = None

    def __post_init__(self):
        if self.t_max is not None:
            check_count("t_max", self.t_max, least=2)

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """Log of a uniform draw from [1, T_max - 1], shape (units,)."""
        t_max = max(self.t_max or units, 2)
        return torch.empty(units).uniform_(1, t_max - 1, generator=generator).log()

    mirrors_input = True


@dataclass(frozen=True)
class Uniform(Constant):
    """Uniform gate initialisation, P2 eq. 9: b_f = logit(u), u ~ U[1/d, 1 - 1/d].

    The bounds 1/d with d units are those of P2 D.5, where b_i = -b_f as in eq. 18.
    """

    bias: float = field(default=0.0, init=False, repr=False)

    def forget_bias(self, units: int, generator: torch.Generator | None) -> Tensor:
        """Logit of a uniform draw, shape (units,)."""
        low = 1 / max(units, 2)
        return torch.empty(units).uniform_(low, 1 - low, generator=generator).logit()

    mirrors_input = True


@dataclass(frozen=True)
class Ordered(Constant):
    """Ordered gates, P2 eq. 28: f = cumax(L_f), eq. 29: i = 1 - cumax(L_i)."""

    bias: float = field(default=0.0, init=False, repr=False)

    def forget(self, pre: Tensor) -> Tensor:
        """P2 eq. 28: f = cumax(L_f)."""
        return cumax(pre)

    def input(self, pre: Tensor) -> Tensor:
        """P2 eq. 29: i = 1 - cumax(L_i)."""
        return 1 - cumax(pre)


Activation = Constant | Chrono | Uniform | Ordered


# --------------------------------------------------------------------------
# Axis 2: auxiliary gate
# --------------------------------------------------------------------------


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

    Half of what the refine gate brings to an LSTM, and so the control for the other
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

    Equal to r(1 - (1 - f)²) + (1 - r) f²; the print of eq. 12 lost the square.
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
        """R starts at σ(-b_f) in the paper's listing only."""
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


# --------------------------------------------------------------------------
# Axis 3: training noise
# --------------------------------------------------------------------------


@dataclass(frozen=True)
class Silent:
    """No noise."""

    def sample(
        self, shape: tuple[int, ...], like: Tensor, generator: torch.Generator
    ) -> Tensor | None:
        """Draws nothing."""
        return None

    def apply(self, pre: Tensor, noise: Tensor | None, training: bool) -> Tensor:
        """The pre-activation as it is."""
        return pre


_PART = 2**16
"""Numbers of noise that are made at a time; not in the draws, which go on."""


@dataclass(frozen=True)
class Gumbel:
    """G2-LSTM noise: training gates are σ((α + B·(log U - log(1 - U))) / τ).

    P1 eqs. 11-12 and Prop. 3.1, with the mask B ~ Bernoulli(p) and the guard eps
    of the published code; the paper mentions neither. A new U and B is drawn for
    each step, example and unit.

    Arguments:
        tau: temperature τ > 0, applied to every unit, masked or not. P1: 0.9.
        p: probability that a unit gets noise. Published code: 0.2; the paper's
            text means 1. With p = 0 the code drops the temperature too.
        eps: keeps the logarithms finite, so that |noise| <= 6.91.
        evaluation: ``"code"`` gives σ(α), without noise and without temperature,
            as the published code does; ``"paper"`` gives σ(α / τ), the training
            gate's median.
    """

    tau: float = 0.9
    p: float = 0.2
    eps: float = 1e-3
    evaluation: str = "code"

    def __post_init__(self):
        check_positive("tau", self.tau)
        check_probability("p", self.p)
        check_positive("eps", self.eps)
        check_choice("evaluation", self.evaluation, ("code", "paper"))

    def sample(
        self, shape: tuple[int, ...], like: Tensor, generator: torch.Generator
    ) -> Tensor:
        """B·(log(U + eps) - log(1 + eps - U)), of the dtype and device of ``like``."""
        # In half precision eps would be lost beside 1, and the logarithm infinite.
        wide = torch.promote_types(like.dtype, torch.float32)
        noise = torch.empty(shape, device=like.device, dtype=wide)
        # On a CPU a part stays in the cache while all operations pass over it.
        size = _PART if like.device.type == "cpu" else max(noise.numel(), 1)
        for u in noise.view(-1).split(size):
            u.uniform_(generator=generator)
            self._transform(u)
        return noise.to(like.dtype)

    def _transform(self, u: Tensor) -> None:
        """In place: uniform numbers become masked logistic ones."""
        mask = u < self.p
        # Given that u < p, u / p is uniform: one number serves mask and noise.
        u.div_(max(self.p, torch.finfo(u.dtype).tiny)).clamp_(max=1)
        odds = (u + self.eps).div_(u.neg_().add_(1 + self.eps))
        torch.mul(odds.log_(), mask, out=u)

    def apply(self, pre: Tensor, noise: Tensor | None, training: bool) -> Tensor:
        """What goes into the sigmoid."""
        if self.p == 0:
            return pre
        if training and noise is not None:
            return (pre + noise) / self.tau
        return pre if self.evaluation == "code" else pre / self.tau


@dataclass(frozen=True)
class Sharpened:
    """Sharpened sigmoid σ(α / τ), in training and in evaluation (P1 §3.2).

    Arguments:
        tau: temperature τ > 0. P1's baseline: 0.2.
    """

    tau: float = 0.2

    def __post_init__(self):
        check_positive("tau", self.tau)

    def sample(
        self, shape: tuple[int, ...], like: Tensor, generator: torch.Generator
    ) -> Tensor | None:
        """Draws nothing."""
        return None

    def apply(self, pre: Tensor, noise: Tensor | None, training: bool) -> Tensor:
        """What goes into the sigmoid."""
        return pre / self.tau


Noise = Silent | Gumbel | Sharpened


# --------------------------------------------------------------------------
# Axis 4: gradient rule
# --------------------------------------------------------------------------


@dataclass(frozen=True)
class Full:
    """The gradient as it is."""

    p = 0.0

    def sample(
        self, steps: int, batch: int, generator: torch.Generator
    ) -> Bool[Tensor, "T *B"] | None:
        """Draws nothing."""
        return None

    def h(self, h: Tensor, detached: Tensor | None) -> Tensor:
        """The hidden state that the cell reads."""
        return h

    def c(self, c: Tensor, detached: Tensor | None) -> Tensor:
        """The cell state that the cell reads."""
        return c


@dataclass(frozen=True)
class _Detach(Full):
    """Shared by h-detach and c-detach: when to block the gradient.

    Arguments:
        p: probability of DETACHING, in [0, 1].
        per: ``"step"`` draws once a time step for the whole batch, as the authors'
            code does; ``"example"`` draws for each sequence of the batch.
    """

    p: float = 0.25
    per: str = "step"

    def __post_init__(self):
        check_probability("p", self.p)
        check_choice("per", self.per, ("step", "example"))

    def sample(
        self, steps: int, batch: int, generator: torch.Generator
    ) -> Bool[Tensor, "T *B"]:
        """True where the gradient is blocked: (T,) per step, (T, B) per example."""
        shape = (steps,) if self.per == "step" else (steps, batch)
        return torch.rand(shape, generator=generator) < self.p


def _blocked(state: Tensor, detached: Tensor | None) -> Tensor:
    if detached is None:
        return state
    if detached.dim() == 0:
        return state.detach() if detached else state
    return torch.where(detached[:, None], state.detach(), state)


@dataclass(frozen=True)
class HDetach(_Detach):
    """h-detach, P3 Algorithm 1: at random steps the cell reads stop_gradient(h).

    The output head sees h undetached, and c is never detached.
    """

    def h(self, h: Tensor, detached: Tensor | None) -> Tensor:
        """h, or stop_gradient(h) where drawn."""
        return _blocked(h, detached)


@dataclass(frozen=True)
class CDetach(_Detach):
    """c-detach, the ablation of P3 §4.3: the same rule on the cell state."""

    def c(self, c: Tensor, detached: Tensor | None) -> Tensor:
        """c, or stop_gradient(c) where drawn."""
        return _blocked(c, detached)


GradientRule = Full | HDetach | CDetach


# --------------------------------------------------------------------------
# The grid
# --------------------------------------------------------------------------


@dataclass(frozen=True)
class Gate:
    """A point of the grid.

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
        """What goes into the activations: the pre-activations with their noise."""
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
"""Names of the field, most of them the papers', as points of the grid."""

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
