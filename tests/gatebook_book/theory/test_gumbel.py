"""The law of the noisy gate: P1 Proposition 3.1 and what the code makes of it."""

import pytest
import sympy
import torch
from gatebook.gates import Gumbel, Sharpened
from gatebook_book.theory import gumbel, kolmogorov

DRAWS = 40_000
ALPHAS = torch.linspace(-6, 6, 49, dtype=torch.float64)


def real(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def drawn(noise: Gumbel, alpha: torch.Tensor) -> torch.Tensor:
    many = alpha.expand(DRAWS).clone()
    generator = torch.Generator().manual_seed(0)
    sample = noise.sample((DRAWS,), many, generator)
    return noise.apply(many, sample, training=True).sigmoid()


@pytest.mark.parametrize("alpha", [0.0, 1.5, -3.0])
@pytest.mark.parametrize("tau", [0.3, 0.9, 2.0])
def test_the_librarys_noise_follows_the_law_with_the_guard(alpha, tau):
    gates = drawn(Gumbel(tau=tau, p=1.0), real(alpha))
    law = lambda g: gumbel.cdf(g, real(alpha), tau, eps=1e-3)  # noqa: E731
    assert kolmogorov.distance(gates, law) < kolmogorov.allowed(DRAWS)


def test_a_guard_that_is_large_is_seen_by_the_law():
    gates = drawn(Gumbel(tau=0.9, p=1.0, eps=0.2), real(0.5))
    for eps, fits in ((0.2, True), (0.0, False)):
        gap = kolmogorov.distance(
            gates, lambda g, eps=eps: gumbel.cdf(g, real(0.5), 0.9, eps)
        )
        assert (gap < kolmogorov.allowed(DRAWS)) == fits


def test_the_mask_leaves_an_atom_at_the_sharpened_gate():
    gates = drawn(Gumbel(tau=0.5, p=0.2), real(1.0))
    still = gates == (real(1.0) / 0.5).sigmoid()
    assert still.double().mean().item() == pytest.approx(0.8, abs=0.02)


def test_the_density_is_the_derivative_of_the_law():
    g = torch.linspace(0.01, 0.99, 99, dtype=torch.float64, requires_grad=True)
    law = gumbel.cdf(g, real(0.7), 0.4)
    (slope,) = torch.autograd.grad(law.sum(), g)
    torch.testing.assert_close(gumbel.pdf(g.detach(), real(0.7), 0.4), slope)


def test_the_density_symbolically():
    a, t, g = sympy.symbols("alpha tau g", positive=True)
    s = 1 / (1 + sympy.exp(a - t * sympy.log(g / (1 - g))))
    assert sympy.simplify(sympy.diff(s, g) - t * s * (1 - s) / (g * (1 - g))) == 0


@pytest.mark.parametrize("tau", [0.01, 0.9, 5.0])
@pytest.mark.parametrize("epsilon", [1e-4, 0.1, 0.49])
def test_proposition_3_1_holds_in_both_halves(tau, epsilon):
    shares = (
        lambda: 1 - gumbel.cdf(real(1 - epsilon), ALPHAS, tau),
        lambda: gumbel.cdf(real(epsilon), ALPHAS, tau),
    )
    coins = (ALPHAS.sigmoid(), 1 - ALPHAS.sigmoid())
    both = (gumbel.open_bounds, gumbel.shut_bounds)
    for bounds, share, coin in zip(both, shares, coins, strict=True):
        found = bounds(ALPHAS, tau, epsilon)
        torch.testing.assert_close(found.exact, share())
        torch.testing.assert_close(found.upper, coin)
        assert (found.lower <= found.exact).all()
        assert (found.exact <= found.upper).all()


def test_the_constant_of_the_lower_bound_cannot_be_lowered():
    tau, epsilon = 1e-3, 0.1
    near = real(1 / epsilon - 1).log()
    worst = gumbel.open_bounds(tau * near / 2, tau, epsilon)
    gap = worst.upper - worst.exact
    torch.testing.assert_close(gap, tau / 4 * near, rtol=1e-5, atol=0.0)


@pytest.mark.parametrize("tau", [0.1, 0.9, 3.0])
def test_open_more_than_half_with_the_coins_probability_at_every_temperature(tau):
    torch.testing.assert_close(1 - gumbel.cdf(real(0.5), ALPHAS, tau), ALPHAS.sigmoid())


def test_small_temperatures_give_the_coin():
    found = gumbel.open_bounds(ALPHAS, 1e-6, 0.01)
    torch.testing.assert_close(found.exact, ALPHAS.sigmoid(), atol=1e-5, rtol=0.0)


@pytest.mark.parametrize("bad", [0.0, 0.5, 0.7, -0.1])
def test_an_epsilon_without_a_bound_is_refused(bad):
    with pytest.raises(ValueError, match=r"epsilon is .*allowed: above 0"):
        gumbel.open_bounds(real(0.0), 0.9, bad)


def test_a_temperature_of_zero_is_refused():
    with pytest.raises(ValueError, match="tau is 0"):
        gumbel.cdf(real(0.5), real(0.0), 0.0)


@pytest.mark.parametrize(
    ("kind", "factor"), [(torch.optim.SGD, 0.2**-2), (torch.optim.Adam, 1 / 0.2)]
)
def test_a_sharpened_sigmoid_is_another_learning_rate(kind, factor):
    x = torch.randn(32, 3, dtype=torch.float64)
    target = torch.rand(32, dtype=torch.float64)
    start = torch.randn(3, dtype=torch.float64)

    def descend(weight, sharpen, rate):
        w = weight.clone().requires_grad_()
        optimizer = kind([w], lr=rate, **({"eps": 0.0} if factor == 5 else {}))
        for _ in range(4):
            optimizer.zero_grad()
            pre = x @ w
            pre = Sharpened(0.2).apply(pre, None, True) if sharpen else pre
            (pre.sigmoid() - target).square().mean().backward()
            optimizer.step()
        return w.detach()

    sharp = descend(start, True, 0.01)
    plain = descend(start / 0.2, False, 0.01 * factor)
    torch.testing.assert_close(sharp / 0.2, plain)


@pytest.mark.parametrize("tau", [0.3, 0.9, 2.0])
def test_median_symmetry_and_power_at_the_ends(tau):
    half = torch.full_like(ALPHAS, 0.5)
    torch.testing.assert_close(gumbel.cdf((ALPHAS / tau).sigmoid(), ALPHAS, tau), half)
    g = torch.linspace(0.01, 0.99, 49, dtype=torch.float64)
    torch.testing.assert_close(
        gumbel.cdf(g, ALPHAS, tau), 1 - gumbel.cdf(1 - g, -ALPHAS, tau)
    )
    near = torch.tensor([1e-9, 1e-7], dtype=torch.float64)
    power = gumbel.pdf(near, real(0.7), tau).log().diff() / near.log().diff()
    assert power.item() == pytest.approx(tau - 1, abs=0.02)


def test_the_middle_at_zero_is_a_hyperbolic_tangent():
    for tau in (0.1, 0.9):
        middle = gumbel.cdf(real(0.9), real(0.0), tau) - gumbel.cdf(
            real(0.1), real(0.0), tau
        )
        torch.testing.assert_close(middle, (tau / 2 * real(9.0).log()).tanh())


def test_the_mean_gate_at_temperature_one():
    g = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    mean = (1 - gumbel.cdf(g, real(2.0), 1.0)).mean().item()
    w = real(2.0).exp().item()
    assert mean == pytest.approx(w * (w - 1 - 2) / (w - 1) ** 2, rel=1e-6)
    assert mean == pytest.approx(0.794, abs=5e-4)
