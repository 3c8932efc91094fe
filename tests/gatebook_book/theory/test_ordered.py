"""Ordered and master gates: each proposition by algebra and on the library's gates."""

import math

import pytest
import sympy
import torch
from gatebook import GATES, GRU, LSTM, record
from gatebook.gates import Gate, Master, Ordered, Uniform, cumax, refine
from gatebook_book.theory import ordered
from gatebook_book.theory.refine import band

DOUBLE = {"dtype": torch.float64}


# -- cumax ---------------------------------------------------------------------


def test_cumax_can_be_inverted_up_to_a_constant():
    f = torch.tensor([0.1, 0.15, 0.7, 1.0], **DOUBLE)
    p = torch.cat([f[:1], f.diff()])
    torch.testing.assert_close(cumax(p.log() - 3.0), f)


def test_exchangeable_logits_have_the_mean_of_equal_ones():
    f = cumax(4 * torch.randn(50_000, 5, **DOUBLE))
    expected = torch.arange(1, 6, **DOUBLE) / 5
    torch.testing.assert_close(f.mean(0), expected, atol=0.01, rtol=0)


def test_the_jacobian_by_algebra():
    a = sympy.symbols("a1:4", real=True)
    weights = [sympy.exp(x) / sum(map(sympy.exp, a)) for x in a]
    at = dict(zip(a, (0.3, -1.2, 0.9), strict=True))
    J = ordered.jacobian(torch.tensor([float(w.subs(at)) for w in weights], **DOUBLE))
    for j in range(3):
        f = sum(weights[: j + 1])
        for m in range(3):
            exact = float(sympy.diff(f, a[m]).subs(at))
            assert J[j, m].item() == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("spread", [0.0, 1.0, 6.0])
def test_the_jacobian_by_autograd_and_its_bounds(spread):
    alpha = spread * torch.randn(20, **DOUBLE)
    p, f = alpha.softmax(0), alpha.softmax(0).cumsum(0)
    by_autograd = torch.autograd.functional.jacobian(
        lambda x: x.softmax(0).cumsum(0), alpha
    )
    J = ordered.jacobian(p)
    torch.testing.assert_close(J, by_autograd, atol=1e-12, rtol=0)
    slope = f * (1 - f)
    torch.testing.assert_close(J.sum(1), torch.zeros(20, **DOUBLE), atol=1e-12, rtol=0)
    torch.testing.assert_close(J.abs().sum(1), 2 * slope, atol=1e-12, rtol=0)
    squares = (J**2).sum(1)
    assert (squares <= 2 * slope**2 + 1e-14).all()
    assert (squares <= slope * p.max() + 1e-14).all()
    if spread == 0:
        torch.testing.assert_close(squares, slope / 20)


# -- master gates -----------------------------------------------------------------


def test_a_master_gate_bounds_the_effective_one():
    gate = Gate(Uniform(), Master(1))
    pre = {k: 2 * torch.randn(50, 30, **DOUBLE) for k in gate.blocks(30)}
    out = gate.effective(pre)
    fm, im = pre["master_forget"].sigmoid(), pre["master_input"].sigmoid()
    f, i = pre["forget"].sigmoid(), pre["input"].sigmoid()
    torch.testing.assert_close(out["effective_forget"], fm * (1 - im * (1 - f)))
    torch.testing.assert_close(out["effective_input"], im * (1 - fm * (1 - i)))
    assert (out["effective_forget"] <= fm).all()
    assert (out["effective_forget"] >= fm * (1 - im)).all()


C = GATES["OM"].auxiliary.downsize
DEAD = [("O", 1), ("OR", 1), ("OM", C), ("UM", 0), ("UR", 0)]


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize(("name", "dead"), DEAD)
def test_the_last_units_of_an_ordered_network_never_change(kind, name, dead):
    rnn = kind(3, 2 * C, gate=name, dtype=torch.float64)
    with torch.no_grad():
        for weights in rnn.parameters():
            weights.mul_(4)
    x = torch.randn(20, 6, 3, **DOUBLE)
    if kind is LSTM:
        h0, c0 = torch.zeros(1, 6, 2 * C, **DOUBLE), torch.randn(1, 6, 2 * C, **DOUBLE)
        _, (_, last) = rnn(x, (h0, c0))
    else:
        c0 = torch.randn(1, 6, 2 * C, **DOUBLE)
        _, last = rnn(x, c0)
    moved = (last - c0).abs().amax((0, 1))
    assert (moved[2 * C - dead :] < 1e-12).all()
    assert (moved[: 2 * C - dead] > 1e-6).all()


def test_a_dead_unit_cannot_learn():
    rnn = LSTM(3, 2 * C, gate="OM", dtype=torch.float64)
    output, _ = rnn(torch.randn(20, 6, 3, **DOUBLE))
    (output**2).sum().backward()
    rows = dict(
        zip(
            rnn.core.blocks(),
            rnn.weight_ih_l0.grad.split(list(rnn.core.blocks().values())),
            strict=True,
        )
    )
    for block in ("update", "output", "forget", "input"):
        assert rows[block][:C].abs().sum(1).min() > 0
        assert rows[block][C:].abs().max() < 1e-12, block


# -- Proposition 3 ------------------------------------------------------------------


def test_the_sums_by_algebra():
    n, j = sympy.symbols("n j", positive=True, integer=True)
    overlap = sympy.summation(j / n * (1 - j / n), (j, 1, n)) / n
    forget = sympy.summation(j / n, (j, 1, n)) / n - overlap / 2
    for size in (1, 2, 16, 256):
        assert ordered.expected_sum(size) == pytest.approx(
            float((1 - overlap).subs(n, size)), abs=1e-12
        )
        assert ordered.expected_forget(size) == pytest.approx(
            float(forget.subs(n, size)), abs=1e-12
        )
    v = sympy.Symbol("v")
    for size in (3, 16):
        low = sympy.Rational(1, size)
        mean = sympy.integrate(1 - v * (1 - v), (v, low, 1 - low)) / (1 - 2 * low)
        assert ordered.expected_sum_uniform(size) == pytest.approx(float(mean))


@pytest.mark.parametrize("downsize", [1, 4, 16])
def test_with_downsizing_n_is_the_number_of_masters(downsize):
    gate, units = Gate(Ordered(), Master(downsize)), 64
    zero = {k: torch.zeros(s, **DOUBLE) for k, s in gate.blocks(units).items()}
    out = gate.effective(zero)
    both = out["effective_forget"] + out["effective_input"]
    n = units // downsize
    assert both.mean().item() == pytest.approx(ordered.expected_sum(n), abs=1e-12)
    alone = out["effective_forget"].mean().item()
    assert alone == pytest.approx(ordered.expected_forget(n), abs=1e-12)


def test_random_weights_keep_the_expected_sum_at_the_first_step():
    found = []
    for number in range(300):
        torch.manual_seed(number)
        rnn = LSTM(4, 8, gate=Gate(Ordered(), Master(2)))
        with record(rnn) as log, torch.no_grad():
            rnn(4 * torch.randn(1, 20, 4))
        gates = log["l0"]
        both = gates["effective_forget"] + gates["effective_input"]
        found.append(both.mean().item())
    sums = torch.tensor(found)
    error = 4 * sums.std().item() / math.sqrt(len(found))
    assert abs(sums.mean().item() - ordered.expected_sum(4)) < error < 0.02


def test_tied_masters_sum_to_more():
    f = cumax(4 * torch.randn(20_000, 4, **DOUBLE))
    j = torch.arange(1, 5, **DOUBLE) / 4
    overlap = (f * (1 - f)).mean(0)
    torch.testing.assert_close(
        overlap, j * (1 - j) - f.var(0, unbiased=False), atol=5e-3, rtol=0
    )
    assert (1 - overlap).mean().item() > ordered.expected_sum(4) + 0.05


def test_uniform_masters():
    gate, units, found = Gate(Uniform(), Master(4)), 64, []
    for _ in range(500):
        out = gate.effective(gate.initial_biases(units))
        both = out["effective_forget"] + out["effective_input"]
        found.append(both.mean().item())
    sums = torch.tensor(found)
    error = 4 * sums.std().item() / math.sqrt(len(found))
    assert abs(sums.mean().item() - ordered.expected_sum_uniform(16)) < error
    assert abs(sums.mean().item() - 5 / 6) > error  # the bounds show


# -- the level of a unit --------------------------------------------------------------


def test_the_level_is_where_the_cell_ends():
    forget, input = torch.rand(2, 10, **DOUBLE) * 0.9
    c = torch.zeros(10, **DOUBLE)
    for _ in range(500):
        c = forget * c + input
    torch.testing.assert_close(c, ordered.level(forget, input))
    torch.testing.assert_close(
        ordered.level(forget, 1 - forget), torch.ones(10, **DOUBLE)
    )


def test_the_level_of_tied_masters():
    master = torch.linspace(0.01, 0.99, 50, **DOUBLE)
    gate = Gate(Uniform(), Master(1))
    pre = {k: torch.zeros(50, **DOUBLE) for k in ("forget", "input")}
    pre |= {"master_forget": master.logit(), "master_input": -master.logit()}
    out = gate.effective(pre)
    kappa = ordered.level(out["effective_forget"], out["effective_input"])
    torch.testing.assert_close(kappa, (2 - master) / (2 + master))


# -- Proposition 4 ------------------------------------------------------------------


def test_rescaled_masters_by_algebra():
    fm, f, i, k = sympy.symbols("fm f i k")
    w = fm * (1 - fm)
    hat_f, hat_i = k * f * w + fm - w, k * i * w + (1 - fm) - w
    seed = f * (1 - (1 - fm) ** 2) + (1 - f) * fm**2  # P2 equation 16
    assert sympy.expand(hat_f.subs(k, 2) - seed) == 0
    assert sympy.expand(hat_f + hat_i - 1 - (k * (f + i) - 2) * w) == 0
    mean = (hat_f + hat_i).subs(i, 1 - f)
    assert sympy.solve(sympy.Eq(mean, 1), k) == [2]


def test_rescaled_masters_are_refine_gates():
    f, i, master = torch.rand(3, 500, **DOUBLE)
    hat_f, hat_i = ordered.rescaled(f, i, master)
    torch.testing.assert_close(hat_f, refine(master, f))
    torch.testing.assert_close(hat_i, refine(1 - master, i))
    w = master * (1 - master)
    torch.testing.assert_close(hat_f + hat_i, 1 + 2 * (f + i - 1) * w)
    tied = sum(ordered.rescaled(f, 1 - f, master))
    torch.testing.assert_close(tied, torch.ones(500, **DOUBLE))


def test_without_the_factor_a_master_gate_has_the_lower_half_of_the_band():
    gate = Gate(Uniform(), Master(1))
    master = torch.rand(500, **DOUBLE)
    pre = {k: 3 * torch.randn(500, **DOUBLE) for k in ("forget", "input")}
    pre |= {"master_forget": master.logit(), "master_input": -master.logit()}
    hat = gate.effective(pre)["effective_forget"]
    low, high = band(master)
    torch.testing.assert_close(hat, low + pre["forget"].sigmoid() * (master - low))
    assert (hat <= master + 1e-12).all() and (hat < high).all()


@pytest.mark.parametrize(("name", "extra"), [("OM", 1), ("UM", 1), ("UR", 0), ("O", 0)])
def test_parameters_relative_to_the_plain_gate(name, extra):
    sizes = [
        sum(p.numel() for p in LSTM(5, 64, gate=g).parameters()) for g in (name, "LSTM")
    ]
    assert sizes[0] / sizes[1] == 1 + extra / (2 * C)
