"""The gradient of an LSTM under h-detach and c-detach (P3 §2).

A step maps the gradient of the state (c_{t-1}, h_{t-1}) to that of (c_t, h_t) by the
Jacobian A_t + B_t: A_t has the columns of c, B_t those of h. h-detach multiplies B_t
by an independent Bernoulli variable with mean q = 1 - p. P3 writes the state in the
order (h, c) and does not define the two matrices.
"""

from dataclasses import dataclass

import torch
from gatebook.errors import check_choice, check_count, check_probability
from gatebook.gates import Constant, Plain, Silent
from gatebook.recurrence.cells import split
from gatebook.rnn.module import LSTM
from jaxtyping import Float
from torch import Tensor

Vectors = Float[Tensor, "T H"]
Steps = Float[Tensor, "T S S"]


@dataclass(frozen=True)
class Trajectory:
    """What one sequence leaves in a cell; every tensor is (T, H).

    ``c`` and ``h`` are the states after each step, ``c_before`` and ``h_before`` the
    ones that the step reads.
    """

    i: Vectors
    f: Vectors
    u: Vectors
    o: Vectors
    c: Vectors
    h: Vectors
    c_before: Vectors
    h_before: Vectors

    @property
    def slopes(self) -> dict[str, Vectors]:
        """How c_t moves with each pre-activation (h_t for the output gate's)."""
        return {
            "input": self.u * self.i * (1 - self.i),
            "forget": self.c_before * self.f * (1 - self.f),
            "update": self.i * (1 - self.u**2),
            "output": self.c.tanh() * self.o * (1 - self.o),
        }

    @property
    def shown(self) -> Vectors:
        """Δ_t = o_t (1 - tanh² c_t): how h_t moves with c_t."""
        return self.o * (1 - self.c.tanh() ** 2)


def trajectory(
    rnn: LSTM,
    x: Float[Tensor, "T I"],
    state: tuple[Float[Tensor, " H"], Float[Tensor, " H"]] | None = None,
) -> Trajectory:
    """Run the LSTM equations, P3 eqs. 1-6, over one sequence.

    Arguments:
        rnn: one layer, one direction, gate ``"LSTM"`` or ``"LSTM0"`` under any
            gradient rule: its weights are read, its own code is not used.
        x: the sequence.
        state: (h_0, c_0); zeros if ``None``.

    Raises:
        ValueError: for another gate, or more layers or directions.
    """
    _check_plain(rnn)
    rows = rnn.core.blocks()
    names = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    w_x, w_h, *biases = (rnn.get_parameter(f"{n}_l0").detach() for n in names)
    projected = x @ w_x.T + sum(biases)
    zero = x.new_zeros(rnn.hidden_size)
    h, c = state or (zero, zero)
    kept: dict[str, list[Tensor]] = {}
    for row in projected:
        old = {"c_before": c, "h_before": h}
        pre = split(row + w_h @ h, rows)
        i, f, o = (pre[name].sigmoid() for name in ("input", "forget", "output"))
        u = pre["update"].tanh()
        c = f * c + i * u
        h = o * c.tanh()
        now = {"i": i, "f": f, "u": u, "o": o, "c": c, "h": h} | old
        for name, value in now.items():
            kept.setdefault(name, []).append(value)
    return Trajectory(**{name: torch.stack(values) for name, values in kept.items()})


def _check_plain(rnn: LSTM) -> None:
    gate = rnn.gate
    plain = type(gate.activation) is Constant and gate.auxiliary == Plain()
    if not plain or gate.noise != Silent():
        raise ValueError(f"gate is {gate!r}; allowed: 'LSTM' or 'LSTM0'")
    if len(rnn.suffixes()) > 1 or not rnn.bias:
        raise ValueError("rnn has several layers or no bias; allowed: one, with bias")


def transfer(rnn: LSTM, path: Trajectory) -> tuple[Steps, Steps]:
    """A_t and B_t for the state (c, h), each (T, 2H, 2H).

    A_t = [[F, 0], [Δ F, 0]] and B_t = [[0, Ψ], [0, Δ Ψ + Ω]] with F = diag(f_t).

    Arguments:
        rnn: the module that ``path`` was computed with.
        path: its trajectory over one sequence.
    """
    w_h = rnn.get_parameter("weight_hh_l0").detach()
    by_block = split(w_h.T, rnn.core.blocks())
    moved = {k: s[:, :, None] * by_block[k].T for k, s in path.slopes.items()}
    psi = moved["input"] + moved["forget"] + moved["update"]
    shown = path.shown[:, :, None]
    forget = torch.diag_embed(path.f)
    none = torch.zeros_like(psi)
    a = torch.cat([forget, shown * forget], 1)
    b = torch.cat([psi, shown * psi + moved["output"]], 1)
    none = torch.cat([none, none], 1)
    return torch.cat([a, none], 2), torch.cat([none, b], 2)


def direct(
    path: Trajectory, block: str, unit: int, source: Float[Tensor, " T"]
) -> Float[Tensor, "T S"]:
    """The direct effect (k_t, k̃_t) of one weight on (c_t, h_t).

    Arguments:
        path: the trajectory.
        block: the matrix that holds the weight, ``"forget"`` for W_f.
        unit: the weight's row.
        source: what the weight multiplies at each step: a column of ``h_before``, a
            feature of the input, or ones for a bias.
    """
    check_choice("block", block, path.slopes)
    hit = torch.zeros_like(path.c)
    hit[:, unit] = path.slopes[block][:, unit] * source
    on_c, on_h = (0 * hit, hit) if block == "output" else (hit, path.shown * hit)
    return torch.cat([on_c, on_h], 1)


def augment(
    a: Steps, b: Steps, k: Float[Tensor, "T S"]
) -> tuple[Float[Tensor, "T Z Z"], Float[Tensor, "T Z Z"]]:
    """A_t and B_t for z_t = (dc_t/dw, dh_t/dw, 1): the direct effect joins A_t."""
    steps, size, _ = a.shape
    a_z, b_z = a.new_zeros(2, steps, size + 1, size + 1)
    a_z[:, :size, :size], b_z[:, :size, :size] = a, b
    a_z[:, :size, size] = k
    a_z[:, size, size] = 1
    return a_z, b_z


def expected_product(a: Steps, b: Steps, q: float = 1.0) -> Float[Tensor, "S S"]:
    """(A_T + q B_T) ⋯ (A_1 + q B_1): the Jacobian, or its mean under h-detach.

    Arguments:
        a: A_t of all steps.
        b: B_t of all steps.
        q: probability of KEEPING the gradient through h, 1 - p.
    """
    check_probability("q", q)
    product = torch.eye(a.shape[1], dtype=a.dtype)
    for step in a + q * b:
        product = step @ product
    return product


def by_visits(a: Steps, b: Steps) -> Float[Tensor, "V S S"]:
    """The 2^T terms of ∏ (A_t + B_t), summed by their number m of factors B, 0 .. T."""
    terms = a.new_zeros(len(a) + 1, *a.shape[1:])
    terms[0] = torch.eye(a.shape[1], dtype=a.dtype)
    for a_t, b_t in zip(a, b, strict=True):
        more = b_t @ terms
        terms = a_t @ terms
        terms[1:] += more[:-1]
    return terms


def second_moment(a: Steps, b: Steps, q: float) -> Float[Tensor, "S S S S"]:
    """E[M_ij M_kl] of M = ∏ (A_t + ξ_t B_t), as a tensor [i, j, k, l].

    Each step maps E[M ⊗ M] by (A + qB) ⊗ (A + qB) + q (1 - q) B ⊗ B.
    """
    check_probability("q", q)
    eye = torch.eye(a.shape[1], dtype=a.dtype)
    moment = torch.einsum("ij,kl->ijkl", eye, eye)
    for mean, b_t in zip(a + q * b, b, strict=True):
        spread = _both(b_t, moment)
        moment = _both(mean, moment) + q * (1 - q) * spread
    return moment


def _both(step: Tensor, moment: Tensor) -> Tensor:
    return torch.einsum("ai,ijkl,bk->ajbl", step, moment, step)


def backward(
    a: Steps, b: Steps, gradient: Float[Tensor, " S"], q: float
) -> tuple[Float[Tensor, "N S"], Float[Tensor, "N S S"]]:
    """Mean and second moment of the gradient n = 0 .. T steps before the last.

    Row n of the mean is E[g], of the second moment E[g gᵀ], with g the gradient of a
    loss in (c_{T-n}, h_{T-n}) under h-detach. At q = 1 and q = 0 nothing is random.

    Arguments:
        a: A_t of all steps.
        b: B_t of all steps.
        gradient: that of the loss in (c_T, h_T).
        q: probability of KEEPING the gradient through h, 1 - p.
    """
    check_probability("q", q)
    means, moments = [gradient], [torch.outer(gradient, gradient)]
    for step, b_t in zip((a + q * b).flip(0), b.flip(0), strict=True):
        means.append(step.T @ means[-1])
        spread = b_t.T @ moments[-1] @ b_t
        moments.append(step.T @ moments[-1] @ step + q * (1 - q) * spread)
    return torch.stack(means), torch.stack(moments)


def expected_paths(steps: int, p: float) -> float:
    """Expected number of gradient paths from c_0 to c_T that detaching leaves.

    A path visits c_t or h_t at each of the T - 1 steps between, and each visit to
    h survives with probability 1 - p: (1 + (1 - p))^(T - 1) = (2 - p)^(T - 1).

    Arguments:
        steps: T, at least 1.
        p: probability of DETACHING, in [0, 1].
    """
    check_count("steps", steps)
    check_probability("p", p)
    return (2 - p) ** (steps - 1)


def visit_law(steps: int, p: float) -> Float[Tensor, " T"]:
    """Share of the expected paths that visit h exactly m times, m = 0 .. T - 1.

    The expected number with m visits is C(T - 1, m) (1 - p)^m, so the share is the
    binomial law with T - 1 trials and probability (1 - p) / (2 - p).
    """
    check_count("steps", steps)
    check_probability("p", p)
    visit = torch.tensor((1 - p) / (2 - p), dtype=torch.float64)
    trials = torch.tensor(float(steps - 1), dtype=torch.float64)
    m = torch.arange(steps, dtype=torch.float64)
    return torch.distributions.Binomial(trials, visit).log_prob(m).exp()
