"""The laws of the decay period: each formula against draws or exact algebra."""

import math

import numpy as np
import pytest
import sympy
import torch
from gatebook.gates import GATES, refine
from gatebook_book.theory import kolmogorov
from gatebook_book.theory import timescales as laws
from gatebook_book.theory.refine import band
from scipy import integrate, stats

UNITS = 64
DRAWS = 40_000


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def started(name: str) -> torch.Tensor:
    """Effective forget gates of many networks of d units at zero input and state."""
    g, found = generator(), []
    for _ in range(DRAWS // UNITS):
        biases = GATES[name].initial_biases(UNITS, generator=g)
        pre = {block: bias.double() for block, bias in biases.items()}
        found.append(GATES[name].effective(pre)["effective_forget"])
    return torch.cat(found)


def timescale(f):
    return 1 / (1 - f)


def distance(D, survival, points):
    return kolmogorov.distance(D, lambda x: 1 - survival(x), points)


def points(low=0.005, high=4.0, count=600):
    return torch.logspace(low, high, count, dtype=torch.float64)


# A Kolmogorov distance above this has a probability below 1e-5 (P2's laws are exact).
ALLOWED = 2.5 / math.sqrt(DRAWS)


@pytest.mark.parametrize("law", ["C", "U", "UR"])
def test_the_librarys_biases_follow_the_law(law):
    survival = {"C": laws.chrono, "U": laws.uniform, "UR": laws.refined}[law]
    D = timescale(started(law))
    assert distance(D, lambda x: survival(x, UNITS), points()) < ALLOWED


def test_the_laws_differ_by_more_than_the_distance_that_is_allowed():
    x = points()
    u = laws.uniform(x, UNITS)
    for other in (laws.chrono(x, UNITS), laws.refined(x, UNITS), laws.heavy(x)):
        assert (u - other).abs().max() > 5 * ALLOWED


def test_a_constant_bias_has_one_timescale():
    D = timescale(started("LSTM"))
    torch.testing.assert_close(D, torch.full_like(D, 1 + math.e), rtol=1e-6, atol=0)
    x = torch.tensor([1.0, 3.7, 3.72, 100], dtype=torch.float64)
    assert laws.constant(x, 1.0).tolist() == [1, 1, 0, 0]


# -- UGI ------------------------------------------------------------------------


def test_the_bounded_laws_moments_and_quantiles():
    d, x = sympy.symbols("d x", positive=True)
    density = d / (d - 2) / x**2
    moments = [sympy.integrate(x**s * density, (x, d / (d - 1), d)) for s in (0, 1, 2)]
    for size in (3, 5, 64):
        total, mean, square = (float(m.subs(d, size)) for m in moments)
        assert total == pytest.approx(1)
        assert mean == pytest.approx(laws.uniform_mean(size))
        assert square == pytest.approx(size**2 / (size - 1))
    q = torch.linspace(0, 1, 101, dtype=torch.float64)
    D = laws.uniform_quantile(q, UNITS)
    torch.testing.assert_close(1 - laws.uniform(D, UNITS), q)
    assert D[0].item() == pytest.approx(UNITS / (UNITS - 1))
    assert D[-1].item() == pytest.approx(UNITS) and D[50].item() == pytest.approx(2)


def test_the_mean_of_the_librarys_draws():
    D = timescale(started("U"))
    mean = laws.uniform_mean(UNITS)
    error = math.sqrt((UNITS**2 / (UNITS - 1) - mean**2) / DRAWS)
    assert abs(D.mean().item() - mean) < 4 * error


def test_the_bounds_nearly_double_the_smallest_gate():
    f = (started("U")).reshape(-1, UNITS).min(1).values
    expected = (2 * UNITS - 1) / (UNITS * (UNITS + 1))
    error = f.std().item() / math.sqrt(len(f))
    assert abs(f.mean().item() - expected) < 4 * error
    assert f.mean().item() > 1.5 / (UNITS + 1)


def test_independent_noise_scales_the_tail():
    v, noise = torch.rand(2, 200_000, dtype=torch.float64, generator=generator())
    shift = math.log(3) * (noise < 0.5)  # e^shift is 3 or 1, in the mean 2
    D = timescale((v.logit() + shift).sigmoid())
    assert 100 * (D > 100).double().mean().item() == pytest.approx(2, rel=0.12)


# -- chrono with unknown T_max -----------------------------------------------------


def test_the_series_and_its_bounds():
    k = torch.arange(1, 2_000_001, dtype=torch.float64)
    terms = 1 / (k * torch.log(k + 1) ** 2)
    longer = terms.sum().item() + 1 / math.log(2_000_001)
    assert laws.heavy_total() == pytest.approx(longer, abs=1e-7)
    m = torch.tensor([3.0, 10, 1e3, 99_999, 1e5, 1e9], dtype=torch.float64)
    tail = laws.heavy(m) * laws.heavy_total()
    assert (1 / torch.log(m + 1) <= tail).all() and (tail <= 1 / torch.log(m - 1)).all()
    first = terms[:4] / laws.heavy_total()
    at = torch.arange(1.0, 6, dtype=torch.float64)
    torch.testing.assert_close(-laws.heavy(at).diff(), first)


def test_the_law_is_of_one_plus_a_whole_number():
    x = torch.tensor([1.0, 1.99, 2.0, 2.99, 3.0], dtype=torch.float64)
    S = laws.heavy(x)
    assert S[0] == S[1] == 1 and S[2] == S[3] and S[3] > S[4]
    assert 1 - S[2].item() == pytest.approx(0.6144, abs=1e-4)
    forever = torch.tensor([math.inf], dtype=torch.float64)
    assert laws.heavy(forever).item() == 0


def test_the_sampler_follows_the_law_far_into_the_tail():
    b = laws.heavy_biases(DRAWS, generator()).double()
    halves = torch.arange(1, 300, dtype=torch.float64) + 0.5
    assert distance(1 + b.exp(), laws.heavy, halves) < ALLOWED
    y = torch.tensor([12.0, 20, 80, 300], dtype=torch.float64)  # ln D, beyond the table
    share = (b[:, None] > y).double().mean(0)
    torch.testing.assert_close(
        share, 1 / (laws.heavy_total() * y), rtol=0.15, atol=1e-3
    )
    whole = b[b < 6].exp()
    torch.testing.assert_close(whole, whole.round(), rtol=1e-5, atol=1e-5)


# -- ordered gates ----------------------------------------------------------------


@pytest.mark.parametrize("units", [3, 5, 64])
def test_cumax_has_the_steps_of_one_in_d(units):
    pre = torch.zeros(units, dtype=torch.float64)
    f = GATES["O"].activation.forget(pre)
    expected = torch.arange(1, units + 1, dtype=torch.float64) / units
    torch.testing.assert_close(f, expected)
    x = points(count=200) + 1e-4
    share = torch.ceil(units / x) / units
    torch.testing.assert_close(laws.cumax(x, units), share)
    far = torch.tensor([1e9], dtype=torch.float64)
    assert laws.cumax(far, units).item() == pytest.approx(1 / units)


@pytest.mark.parametrize("units", [3, 4, 9, 64])
def test_cumax_is_two_in_d_from_bounded_ugi(units):
    steps = torch.arange(1, units, dtype=torch.float64) / units
    f = torch.cat([steps - 1e-7, steps, steps + 1e-7])
    gap = laws.cumax(timescale(f), units) - laws.uniform(timescale(f), units)
    assert gap.abs().max().item() == pytest.approx(2 / units, abs=1e-5)
    free = laws.cumax(timescale(f), units) - (1 - f)
    assert free.abs().max().item() == pytest.approx(1 / units, abs=1e-5)


# -- the refine gate -----------------------------------------------------------------


def test_the_refine_gates_reach():
    D, r = sympy.symbols("D r", positive=True)
    f = 1 - 1 / D
    g = f + f * (1 - f) * (2 * r - 1)
    low, high = (1 / (1 - g.subs(r, end)) for end in (0, 1))
    assert sympy.simplify(low - D**2 / (2 * D - 1)) == 0
    assert sympy.simplify(high - D**2) == 0
    assert sympy.simplify(low - D / 2 - (1 + 1 / (2 * D - 1)) / 4) == 0
    gates = torch.rand(1000, dtype=torch.float64, generator=generator())
    lower, upper = (timescale(end) for end in band(gates))
    periods = timescale(gates)
    torch.testing.assert_close(lower, periods / (1 + gates))
    torch.testing.assert_close(upper, periods**2)
    assert (lower > periods / 2).all()


def test_the_listings_bias_inverts_to_a_hyperbolic_sine():
    f = torch.linspace(0, 1, 501, dtype=torch.float64)
    torch.testing.assert_close(laws.unrefine(refine(f, 1 - f)), f, atol=1e-12, rtol=0)


def test_the_listings_bias_halves_the_tail():
    D = torch.logspace(0.01, 7, 500, dtype=torch.float64)
    ratio = timescale(refine(1 - 1 / D, 1 / D)) / D
    torch.testing.assert_close(ratio, 1 / (2 - 3 / D + 2 / D**2), rtol=1e-5, atol=0)
    assert (ratio[D > 2.01] < 1).all() and (ratio <= 8 / 7).all()
    x = torch.tensor([100.0], dtype=torch.float64)
    assert (x * laws.refined(x, 10**9)).item() == pytest.approx(0.5, abs=0.01)
    bound = UNITS / (2 - 3 / UNITS + 2 / UNITS**2)
    ends = torch.tensor([bound - 0.01, bound + 0.01], dtype=torch.float64)
    assert laws.refined(ends, UNITS)[0] > 0 and laws.refined(ends, UNITS)[1] == 0


def test_an_independent_refine_gate_gains_a_logarithm():
    def density(g):
        up, down = math.sqrt(g), math.sqrt(1 - g)
        return 0.5 * math.log(up / (1 - up)) + 0.5 * math.log(down / (1 - down))

    def cdf(y):
        return integrate.quad(density, 0, y, limit=200)[0]

    assert cdf(1) == pytest.approx(1, abs=1e-6)
    f, r = torch.rand(2, 2000, dtype=torch.float64, generator=generator())
    g = refine(f, r).numpy()
    assert stats.kstest(g, np.vectorize(cdf)).pvalue > 0.01
    x = 1e4
    tail = (math.log(x) + 2 * math.log(2) + 1) / (4 * x)
    assert cdf(1 / x) == pytest.approx(tail, rel=1e-2)


@pytest.mark.parametrize("k", [1, 4, 50])
def test_the_mean_gradient_of_a_memory(k):
    f = (torch.arange(100_000, dtype=torch.float64) + 0.5) / 100_000
    mean = (k * f**k * (1 - f)).mean().item()
    assert mean == pytest.approx(k / ((k + 1) * (k + 2)), rel=1e-6)
