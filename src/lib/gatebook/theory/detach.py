"""Gradient paths through an LSTM under h-detach (P3 §2)."""

import torch
from jaxtyping import Float
from torch import Tensor

from gatebook.errors import check_count, check_probability


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
