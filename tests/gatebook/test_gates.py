"""The grid of gates: equations, laws at the start, noise, and the papers' traps."""

import math

import pytest
import torch
from gatebook.gates import (
    GATES,
    NINE,
    Chrono,
    Constant,
    Gate,
    Gumbel,
    Master,
    Ordered,
    Plain,
    Refine,
    Sharpened,
    Tied,
    Uniform,
    cumax,
    refine,
    resolve,
)
from scipy import stats

UNITS = 4096


def initial(gate: Gate, units: int = UNITS, tied: bool = False) -> dict:
    """Activations at zero weights: only the initial biases act."""
    g = torch.Generator().manual_seed(0)
    return gate.effective(gate.initial_biases(units, tied, g), tied=tied)


def is_uniform(values, low=0.0, high=1.0) -> bool:
    return stats.kstest(values.numpy(), "uniform", (low, high - low)).pvalue > 0.01


# -- the table of names ------------------------------------------------------


def test_names_are_points_of_the_grid():
    assert Gate(Uniform(), Refine()) == GATES["UR"]
    assert Gate(Ordered(), Master()) == GATES["OM"]
    assert Gate(Constant(1.0)) == GATES["LSTM"] == Gate()
    assert Gate(Constant(0.0), noise=Gumbel(0.9, 0.2)) == GATES["G2"]
    assert Gate(Constant(0.0), noise=Sharpened(0.2)) == GATES["sharpened"]
    assert set(NINE) <= set(GATES) and len(NINE) == 9
    assert resolve(GATES["C"]) is GATES["C"] and resolve("C") is GATES["C"]


def test_blocks_by_name():
    assert Plain().blocks(8, tied=False) == {"input": 8, "forget": 8}
    assert Plain().blocks(8, tied=True) == {"forget": 8}
    assert Tied().blocks(8, tied=False) == Tied().blocks(8, tied=True) == {"forget": 8}
    assert Refine().blocks(8, tied=False) == {"refine": 8, "forget": 8}
    masters = Master(4).blocks(8, tied=False)
    assert masters == {"input": 8, "forget": 8, "master_input": 2, "master_forget": 2}


def test_cifg_is_r_without_its_refine_gate():
    gates = GATES["CIFG"].effective({"forget": (pre := torch.randn(8))})
    f = pre.sigmoid()
    assert torch.equal(gates["effective_forget"], f)
    assert torch.equal(gates["effective_input"], 1 - f)
    neutral = {"forget": pre, "refine": torch.zeros(8)}
    assert torch.equal(GATES["R"].effective(neutral)["effective_input"], 1 - f)
    bias = GATES["CIFG"].initial_biases(8)["forget"]
    assert torch.equal(bias, GATES["R"].initial_biases(8)["forget"])


# -- equations, derived again from the papers ---------------------------------


def pre(*names, units=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    kind = {"generator": g, "dtype": torch.float64}
    return {name: torch.randn(2, units, **kind) for name in names}


def test_refine_keeps_the_square_that_the_print_of_eq_12_lost():
    f, r = torch.rand(2, 1000, dtype=torch.float64).unbind()
    g = refine(f, r)
    torch.testing.assert_close(g, r * (1 - (1 - f) ** 2) + (1 - r) * f**2)
    torch.testing.assert_close(g, 2 * r * f + (1 - 2 * r) * f**2)  # P2 D.5
    printed = r * (1 - (1 - f) ** 2) + (1 - r) * f
    assert (g - printed).abs().max() > 0.1
    assert (g >= f**2 - 1e-12).all() and (g <= 1 - (1 - f) ** 2 + 1e-12).all()


def test_ur_ties_the_input_gate_to_the_effective_gate():
    p = pre("refine", "forget")
    f, r = p["forget"].sigmoid(), p["refine"].sigmoid()
    gates = GATES["UR"].effective(p)
    torch.testing.assert_close(gates["effective_forget"], f + f * (1 - f) * (2 * r - 1))
    torch.testing.assert_close(gates["effective_input"], 1 - gates["effective_forget"])


def test_cumax_rises_to_one():
    values = cumax(torch.randn(50, 300))
    assert (values.diff(dim=-1) >= 0).all()
    assert (values > 0).all() and (values <= 1).all()
    torch.testing.assert_close(values[:, -1], torch.ones(50))


def test_ordered_gates():
    p = pre("input", "forget")
    gates = GATES["O"].effective(p)
    weights = p["forget"].exp() / p["forget"].exp().sum(-1, keepdim=True)
    torch.testing.assert_close(gates["effective_forget"][:, 2], weights[:, :3].sum(-1))
    torch.testing.assert_close(
        gates["effective_input"], 1 - p["input"].softmax(-1).cumsum(-1)
    )


@pytest.mark.parametrize("name", ["OM", "UM"])
def test_master_gates_are_those_of_on_lstm(name):
    gate = Gate(GATES[name].activation, Master(downsize=3))
    p = pre("input", "forget") | pre("master_input", "master_forget", units=2, seed=1)
    fm, im = p["master_forget"], p["master_input"]
    if name == "OM":
        fm, im = fm.softmax(-1).cumsum(-1), 1 - im.softmax(-1).cumsum(-1)
    else:
        fm, im = fm.sigmoid(), im.sigmoid()
    # Neighbours share a master value: units 0-2 the first, 3-5 the second.
    fm = torch.stack([fm[:, j // 3] for j in range(6)], -1)
    im = torch.stack([im[:, j // 3] for j in range(6)], -1)
    f, i, overlap = p["forget"].sigmoid(), p["input"].sigmoid(), fm * im
    gates = gate.effective(p)
    torch.testing.assert_close(gates["effective_forget"], f * overlap + (fm - overlap))
    torch.testing.assert_close(gates["effective_input"], i * overlap + (im - overlap))


@pytest.mark.parametrize("name", NINE)
def test_a_tied_gate_gives_what_it_forgets_to_the_input(name):
    gate = GATES[name]
    sizes = gate.blocks(32, tied=True)
    p = {k: torch.randn(3, n, dtype=torch.float64) for k, n in sizes.items()}
    gates = gate.effective(p, tied=True)
    f, i = gates["effective_forget"], gates["effective_input"]
    assert (f >= 0).all() and (f <= 1).all()
    if not isinstance(gate.auxiliary, Master):
        torch.testing.assert_close(f + i, torch.ones_like(f))


# -- the laws at the start ------------------------------------------------------


def test_constant_bias():
    f = initial(GATES["LSTM"])["effective_forget"]
    torch.testing.assert_close(f, torch.full_like(f, 1 / (1 + math.exp(-1))))
    assert (initial(GATES["LSTM0"])["effective_forget"] == 0.5).all()


def test_chrono_timescales_are_uniform_and_the_input_mirrors():
    biases = Gate(Chrono(t_max=100)).initial_biases(UNITS)
    assert is_uniform(biases["forget"].exp(), 1, 99)
    assert torch.equal(biases["input"], -biases["forget"])
    assert GATES["C"].initial_biases(UNITS)["forget"].exp().max() <= UNITS - 1


def test_uniform_gates_are_uniform_and_the_input_mirrors():
    gates = initial(GATES["U"])
    assert is_uniform(gates["effective_forget"])
    torch.testing.assert_close(gates["effective_input"], 1 - gates["effective_forget"])
    low = GATES["U"].initial_biases(10)["forget"].sigmoid()
    assert low.min() >= 0.1 and low.max() <= 0.9  # U[1/d, 1 - 1/d], P2 D.5


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(
    ("gate", "undo", "low", "high"),
    [
        (Gate(Uniform()), torch.sigmoid, 0.1, 0.9),  # 1/d and 1 - 1/d, d = 10
        (Gate(Chrono()), torch.exp, 1, 9),  # T_max = d = 10
        (Gate(Chrono(t_max=4)), torch.exp, 1, 3),
    ],
)
def test_the_random_starts_reach_their_bounds_and_no_further(
    gate, undo, low, high, seed
):
    g = torch.Generator().manual_seed(seed)
    drawn = [gate.initial_biases(10, generator=g)["forget"] for _ in range(2000)]
    values = undo(torch.cat(drawn).double())
    assert is_uniform(values, low, high)
    close = (high - low) / 1000  # of 20,000 draws the extremes come so close
    assert low - 1e-6 < values.min() < low + close
    assert high - close < values.max() < high + 1e-6


def test_the_papers_refine_bias_pulls_the_effective_gate_to_the_middle():
    gates = initial(GATES["UR"])
    f, g = gates["forget"], gates["effective_forget"]
    torch.testing.assert_close(gates["refine"], 1 - f)
    torch.testing.assert_close(g, f + f * (1 - f) * (1 - 2 * f))
    assert is_uniform(f) and not is_uniform(g)
    assert ((g - 0.5).abs() <= (f - 0.5).abs() + 1e-6).all()


def test_the_later_codes_refine_bias_leaves_the_effective_gate_uniform():
    gates = initial(GATES["UR-s4"])
    assert (gates["refine"] == 0.5).all()
    torch.testing.assert_close(gates["effective_forget"], gates["forget"])
    assert is_uniform(gates["effective_forget"])


def test_a_refine_gate_without_uniform_initialisation_starts_at_one_half():
    assert (initial(GATES["R"])["refine"] == 0.5).all()
    assert (initial(GATES["OR"])["refine"] == 0.5).all()


def test_proposition_3_is_about_the_sum_of_both_gates():
    # Masters j/n and 1 - j/n, fine gates 1/2: the mean of f + i over the units is
    # 5/6 + 1/(6 n²); the effective forget gate alone is half of that, and 1/(2n).
    n = 64
    gates = initial(Gate(Ordered(), Master(downsize=1)), units=n)
    both = gates["effective_forget"] + gates["effective_input"]
    assert both.mean().item() == pytest.approx(5 / 6 + 1 / (6 * n**2), abs=1e-5)
    alone = gates["effective_forget"].mean().item()
    assert alone == pytest.approx(5 / 12 + 1 / (2 * n) + 1 / (12 * n**2), abs=1e-5)


def test_uniform_masters_are_uniform_and_mirrored():
    gate = Gate(Uniform(), Master(downsize=1))
    biases = gate.initial_biases(UNITS)
    assert is_uniform(biases["master_forget"].sigmoid())
    assert torch.equal(biases["master_input"], -biases["master_forget"])
    assert (biases["forget"] == 0).all() and (biases["input"] == 0).all()


# -- noise -----------------------------------------------------------------------

LIKE = torch.zeros(1, dtype=torch.float64)


def sample(gumbel, shape=(200, 100), seed=0):
    return gumbel.sample(shape, LIKE, torch.Generator().manual_seed(seed))


def test_noise_is_logistic_up_to_the_guard():
    values = sample(Gumbel(p=1.0)).flatten()
    bound = math.log(1.001 / 0.001)
    assert values.abs().max() <= bound and bound == pytest.approx(6.91, abs=0.01)
    inside = values[values.abs() < 4].numpy()
    law = stats.logistic
    share = law.cdf(4) - law.cdf(-4)
    cdf = lambda v: (law.cdf(v) - law.cdf(-4)) / share  # noqa: E731
    # The guard shifts the law by at most 1e-3 in U.
    assert stats.kstest(inside, cdf).statistic < 0.012


def test_the_mask_leaves_most_units_without_noise():
    values = sample(Gumbel(p=0.2))
    assert (values != 0).double().mean().item() == pytest.approx(0.2, abs=0.01)
    steps = (values != 0).double()
    assert abs(torch.corrcoef(steps[:2])[0, 1]) < 0.3


def test_the_gate_has_the_closed_forms_law():
    # P1 Prop. 3.1: P(G <= g) = σ(τ logit g - α).
    alpha, tau = 0.7, 0.5
    gumbel = Gumbel(tau=tau, p=1.0, eps=1e-9)
    g = gumbel.apply(torch.full((20000,), alpha), sample(gumbel, (20000,)), True)
    law = stats.logistic(loc=alpha, scale=1.0)
    # logit G · τ = α + logistic noise.
    assert stats.kstest((g * tau).numpy(), law.cdf).pvalue > 0.01


def test_temperature_acts_on_units_without_noise_too():
    gumbel = Gumbel(tau=0.5, p=0.2)
    out = gumbel.apply(torch.tensor([3.0]), torch.tensor([0.0]), True)
    assert out.item() == 6.0


def test_evaluation_drops_noise_and_temperature_in_the_code_only():
    alpha, noise = torch.tensor([3.0]), torch.tensor([1.0])
    assert Gumbel(0.5, 0.2).apply(alpha, noise, False).item() == 3.0
    assert Gumbel(0.5, 0.2, evaluation="paper").apply(alpha, noise, False) == 6.0


def test_without_noise_the_temperature_is_inert():
    alpha = torch.tensor([3.0])
    gumbel = Gumbel(tau=0.1, p=0.0)
    assert gumbel.apply(alpha, sample(gumbel, (1,)), True).item() == 3.0


def test_the_sharpened_sigmoid_divides_always():
    for training in (True, False):
        assert Sharpened(0.2).apply(torch.tensor([3.0]), None, training) == 15.0


def test_noise_needs_training():
    gate = GATES["G2"]
    p = pre("input", "forget")
    noise = {k: torch.ones_like(v) for k, v in p.items()}
    quiet, loud = gate.effective(p, noise), gate.effective(p, noise, training=True)
    torch.testing.assert_close(quiet["effective_forget"], p["forget"].sigmoid())
    torch.testing.assert_close(
        loud["effective_forget"], ((p["forget"] + 1) / 0.9).sigmoid()
    )


def test_the_bounds_of_a_uniform_start_may_be_the_hidden_sizes():
    bias = Uniform(d=1000).forget_bias(100_000, torch.Generator().manual_seed(0))
    assert 0.001 <= bias.sigmoid().min() < 0.0012
    few = Gate(Uniform(d=64), Master(4)).initial_biases(64)["master_forget"]
    assert len(few) == 16
    assert (repr(Uniform()), repr(Uniform(d=8))) == ("Uniform()", "Uniform(d=8)")
    with pytest.raises(ValueError, match="d is 1"):
        Uniform(d=1)


@pytest.mark.parametrize("bias", [float("nan"), float("inf")])
def test_a_bias_is_a_finite_number(bias):
    with pytest.raises(ValueError, match="allowed: a finite number"):
        Constant(bias)
