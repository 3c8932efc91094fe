"""Ordered gates and master gates (P2 §2.5 and B.4; Shen et al. 2019)."""

import torch
from jaxtyping import Float
from torch import Tensor

Unit = Float[Tensor, "..."]


def jacobian(p: Float[Tensor, " H"]) -> Float[Tensor, "H H"]:
    """∂f_j / ∂α_m of f = cumax(α), from its weights p = softmax(α).

    The entry is p_m (1 - f_j) for m ≤ j and -p_m f_j for m > j.
    """
    f = p.cumsum(0)
    reached = torch.ones_like(p).diag().cumsum(0)  # 1 where m ≤ j
    return p * (reached - f[:, None])


def expected_sum(masters: int) -> float:
    """E of the average f̂ + î with ordered masters: 5/6 + 1/(6n²) (P2 Prop. 3).

    Arguments:
        masters: n, the number of different master values: units / C.
    """
    return 5 / 6 + 1 / (6 * masters**2)


def expected_forget(masters: int) -> float:
    """E of the average f̂ alone: 5/12 + 1/(2n) + 1/(12n²)."""
    return 5 / 12 + 1 / (2 * masters) + 1 / (12 * masters**2)


def expected_sum_uniform(masters: int) -> float:
    """E of the average f̂ + î with masters from U[1/n, 1 - 1/n], f̃ + ĩ = 1.

    5/6 - 1/(3n) + 1/(3n²); without the bounds it is 5/6.
    """
    return 5 / 6 - 1 / (3 * masters) + 1 / (3 * masters**2)


def rescaled(f: Unit, i: Unit, master: Unit) -> tuple[Unit, Unit]:
    """Tied and rescaled master gates, P2 eqs. 24-27.

    Arguments:
        f: fine forget gate.
        i: fine input gate.
        master: f̃, with ĩ = 1 - f̃.

    Returns:
        f̂ = 2fω + (f̃ - ω) and î = 2iω + (ĩ - ω), with ω = f̃ĩ.
    """
    other = 1 - master
    overlap = master * other
    return 2 * f * overlap + (master - overlap), 2 * i * overlap + (other - overlap)


def level(forget: Unit, input: Unit) -> Unit:
    """î / (1 - f̂): where c ends up when the update is held at 1; 1 if f̂ + î = 1."""
    return input / (1 - forget)
