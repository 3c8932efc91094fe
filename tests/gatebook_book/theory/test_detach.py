"""The matrices of h-detach against autograd, enumeration and sympy."""

import itertools
import math

import pytest
import sympy
import torch
from gatebook import GRU, LSTM, record
from gatebook.recurrence.cells import split
from gatebook.recurrence.scan import Draws, scan
from gatebook_book.theory import detach

F64 = {"dtype": torch.float64}
H, T = 3, 5
BLOCKS = ("input", "forget", "update", "output")  # the last one acts on h only


def cell(gate="LSTM0", scale=4.0, **options):
    """A small cell with large weights, so that both paths carry something."""
    rnn = LSTM(2, H, gate=gate, **options, **F64)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.copy_(torch.randn_like(parameter) * scale / math.sqrt(H))
    return rnn


def run(rnn, x, h, c, detached=None):
    """(c_T, h_T) by the library, with the given steps detached."""
    projected = x[:, None] @ rnn.weight_ih_l0.T + rnn.bias_ih_l0
    draws = None if detached is None else Draws(detached=detached)
    weights = (rnn.weight_hh_l0, rnn.bias_hh_l0)
    _, h, c = scan(rnn.core, projected, *weights, h[None], c[None], draws=draws)
    return torch.cat([c, h], 1).squeeze(0)


def jacobian(rnn, x, h, c, detached=None):
    """∂(c_T, h_T)/∂(c_0, h_0) by autograd."""
    by_c, by_h = torch.autograd.functional.jacobian(
        lambda c, h: run(rnn, x, h, c, detached), (c, h)
    )
    return torch.cat([by_c, by_h], 1)


def example(gate="LSTM0", steps=T, **options):
    """A cell, a sequence, an initial state, the trajectory, A_t and B_t."""
    rnn = cell(gate, **options)
    x, h, c = (torch.randn(*size, **F64) for size in ((steps, 2), (H,), (H,)))
    path = detach.trajectory(rnn, x, (h, c))
    return rnn, x, h, c, path, *detach.transfer(rnn, path)


def patterns(steps):
    """All draws of ξ_1 .. ξ_T, as floats."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=steps)), **F64)


def close(actual, expected):
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)


# -- the recursion ----------------------------------------------------------------


def test_the_trajectory_is_the_library_s():
    rnn, x, h, c, path, *_ = example()
    close(torch.cat([path.c[-1], path.h[-1]]), run(rnn, x, h, c).detach())
    assert torch.equal(path.c_before[1:], path.c[:-1])
    assert torch.equal(path.h_before[0], h)


@pytest.mark.parametrize("gate", ["LSTM", "LSTM0"])
@pytest.mark.parametrize("steps", [1, T, 40])
def test_the_product_is_the_jacobian(gate, steps):
    rnn, x, h, c, _, a, b = example(gate, steps)
    assert a.shape == b.shape == (steps, 2 * H, 2 * H)
    close(detach.expected_product(a, b), jacobian(rnn, x, h, c))


def test_a_has_the_columns_of_c_and_b_those_of_h():
    *_, path, a, b = example()
    assert not a[:, :, H:].any() and not b[:, :, :H].any()
    close(a[:, :H, :H], torch.diag_embed(path.f))


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("source", ["weight_hh", "weight_ih", "bias_ih"])
def test_the_recursion_gives_the_derivative_of_any_weight(block, source):
    rnn, x, h, c, path, a, b = example()
    unit, column = 2, 1
    reads = {"weight_hh": path.h_before, "weight_ih": x, "bias_ih": torch.ones(T, 2)}
    k = detach.direct(path, block, unit, reads[source][:, column].to(torch.float64))
    ours = detach.expected_product(*detach.augment(a, b, k))[:-1, -1]
    for value, z in zip(run(rnn, x, h, c), ours, strict=True):
        weight = getattr(rnn, f"{source}_l0")
        (whole,) = torch.autograd.grad(value, weight, retain_graph=True)
        row = split(whole.movedim(0, -1), rnn.core.blocks())[block][..., unit]
        close(z, row if source == "bias_ih" else row[column])


class Sigmoid(sympy.Function):
    """σ by its derivative alone, so that differences stay polynomials."""

    def fdiff(self, argindex=1):
        return self * (1 - self)


class Tanh(sympy.Function):
    def fdiff(self, argindex=1):
        return 1 - self**2


@pytest.mark.parametrize("block", BLOCKS)
def test_one_unit_by_sympy(block):
    """A whole step with c_{t-1} and h_{t-1} as functions of the weight w."""
    w = sympy.symbols("w")
    c0, h0 = (sympy.Function(name)(w) for name in ("c0", "h0"))
    a, weights = (
        {name: sympy.symbols(f"{letter}_{name}") for name in BLOCKS} for letter in "av"
    )
    weights[block] = w
    pre = {name: a[name] + weights[name] * h0 for name in BLOCKS}
    i, f, o = (Sigmoid(pre[name]) for name in ("input", "forget", "output"))
    u = Tanh(pre["update"])
    c = f * c0 + i * u
    h = o * Tanh(c)
    slope = {
        "input": u * i * (1 - i),
        "forget": c0 * f * (1 - f),
        "update": i * (1 - u**2),
        "output": Tanh(c) * o * (1 - o),
    }
    omega = slope["output"] * weights["output"]
    psi = sum(slope[name] * weights[name] for name in BLOCKS[:3])
    effect = slope[block] * h0
    k, late = (0, effect) if block == "output" else (effect, 0)
    dc, dh = c0.diff(w), h0.diff(w)
    step_c = f * dc + psi * dh + k
    step_h = o * (1 - Tanh(c) ** 2) * step_c + omega * dh + late
    assert sympy.expand(c.diff(w) - step_c) == 0
    assert sympy.expand(h.diff(w) - step_h) == 0


@pytest.mark.parametrize("name", ["C", "UR", "G2", "O"])
def test_other_gates_are_refused(name):
    rnn = LSTM(2, H, gate=name, **F64)
    with pytest.raises(ValueError, match="allowed: 'LSTM' or 'LSTM0'"):
        detach.trajectory(rnn, torch.zeros(T, 2, **F64))


def test_stacked_layers_are_refused():
    with pytest.raises(ValueError, match="several layers"):
        detach.trajectory(LSTM(2, H, 2, **F64), torch.zeros(T, 2, **F64))


def test_an_unknown_block_is_refused():
    *_, path, _, _ = example()
    with pytest.raises(ValueError, match="block"):
        detach.direct(path, "refine", 0, torch.ones(T, **F64))


# -- the expansion ----------------------------------------------------------------


def test_terms_by_visits_are_sums_over_subsets():
    *_, a, b = example(steps=4)
    expected = torch.zeros(5, 2 * H, 2 * H, **F64)
    for xi in patterns(4):
        term = torch.eye(2 * H, **F64)
        for t in range(4):
            term = (b[t] if xi[t] else a[t]) @ term
        expected[int(xi.sum())] += term
    close(detach.by_visits(a, b), expected)


@pytest.mark.parametrize("q", [0.0, 0.3, 1.0])
def test_m_visits_are_weighted_by_q_to_the_m(q):
    *_, a, b = example()
    weights = q ** torch.arange(T + 1, **F64)
    mixed = torch.einsum("m,mij->ij", weights, detach.by_visits(a, b))
    close(mixed, detach.expected_product(a, b, q))


@pytest.mark.parametrize(
    ("block", "bound"), [("input", 0.25), ("update", 1.0), ("forget", math.exp(-1))]
)
def test_the_linear_path_s_effect_grows_at_most_linearly(block, bound):
    generator = torch.Generator().manual_seed(0)
    for steps in (1, 3, 30, 300):
        f = 1 - torch.rand(steps, 50, **F64, generator=generator) ** 3 * 3 / steps
        f = f.clamp(0, 1)
        i = torch.rand(steps, 50, **F64, generator=generator)
        u = 2 * torch.rand(steps, 50, **F64, generator=generator) - 1
        if block == "forget":  # the worst case: as much as can be comes in
            i, u = torch.ones_like(i), torch.ones_like(u)
        c, z = torch.ones(50, **F64), torch.zeros(50, **F64)
        for f_t, i_t, u_t in zip(f, i, u, strict=True):
            slope = {
                "input": u_t * i_t * (1 - i_t),
                "update": i_t * (1 - u_t**2),
                "forget": c * f_t * (1 - f_t),
            }[block]
            z, c = f_t * z + slope, f_t * c + i_t * u_t
        assert (z.abs() <= bound * steps + 1e-12).all()


def test_the_product_of_the_a_s_is_bounded():
    *_, a, b = example(steps=40, scale=20.0)
    product = detach.expected_product(a, b, 0.0)
    assert torch.linalg.matrix_norm(product, 2) <= math.sqrt(2)


def test_at_rest_the_path_through_h_grows_with_the_weights():
    rnn = LSTM(1, 1, gate="LSTM0", **F64)
    with torch.no_grad():
        for parameter in rnn.parameters():
            parameter.zero_()
        split(rnn.weight_hh_l0.T, rnn.core.blocks())["update"].fill_(8.0)
    a, b = detach.transfer(rnn, detach.trajectory(rnn, torch.zeros(10, 1, **F64)))
    for q in (0.0, 0.25, 1.0):  # ρ = 1/2 + q w/4 for each step but the first
        product = detach.expected_product(a, b, q)[0, 0]
        assert product.item() == pytest.approx(0.5 * (0.5 + 2 * q) ** 9, rel=1e-12)
        square = detach.second_moment(a, b, q)[0, 0, 0, 0]
        each = (1 - q) * 0.25 + q * 2.5**2
        assert square.item() == pytest.approx(0.25 * each**9, rel=1e-12)


# -- what detaching does ----------------------------------------------------------


def test_each_draw_of_h_detach_multiplies_b():
    rnn, x, h, c, _, a, b = example(steps=4, h_detach=0.5)
    for xi in patterns(4):
        expected = detach.expected_product(a, b * xi[:, None, None])
        close(jacobian(rnn, x, h, c, xi == 0), expected)


def test_each_draw_of_c_detach_multiplies_a():
    rnn, x, h, c, _, a, b = example(steps=4, c_detach=0.5)
    for xi in patterns(4):
        expected = detach.expected_product(a * xi[:, None, None], b)
        close(jacobian(rnn, x, h, c, xi == 0), expected)


@pytest.mark.parametrize("q", [0.0, 0.3, 0.75, 1.0])
def test_mean_and_second_moment_are_exact(q):
    *_, a, b = example()
    mean, moment = 0.0, 0.0
    for xi in patterns(T):
        weight = (q ** xi.sum() * (1 - q) ** (T - xi.sum())).item()
        m = detach.expected_product(a, b * xi[:, None, None])
        mean = mean + weight * m
        moment = moment + weight * torch.einsum("ij,kl->ijkl", m, m)
    close(detach.expected_product(a, b, q), mean)
    close(detach.second_moment(a, b, q), moment)


@pytest.mark.parametrize("q", [0.0, 0.3, 1.0])
def test_backward_agrees_with_the_products(q):
    *_, a, b = example()
    g = torch.randn(2 * H, **F64)
    means, moments = detach.backward(a, b, g, q)
    assert means.shape == (T + 1, 2 * H) and torch.equal(means[0], g)
    close(means[-1], g @ detach.expected_product(a, b, q))
    whole = detach.second_moment(a, b, q)
    close(moments[-1], torch.einsum("i,ijkl,k->jl", g, whole, g))
    close(means[2], g @ detach.expected_product(a[-2:], b[-2:], q))


def test_nothing_is_random_at_the_ends():
    *_, a, b = example()
    for q in (0.0, 1.0):
        mean = detach.expected_product(a, b, q)
        square = torch.einsum("ij,kl->ijkl", mean, mean)
        close(detach.second_moment(a, b, q), square)


@pytest.mark.parametrize("p", [0.25, 0.6])
def test_the_library_s_gradient_has_this_mean(p):
    """dc_T/dw over 500 seeds lies within five exact standard errors."""
    rnn, x, *_ = example(h_detach=p, scale=2.0)
    path = detach.trajectory(rnn, x)
    k = detach.direct(path, "forget", 1, path.h_before[:, 0])
    a, b = detach.augment(*detach.transfer(rnn, path), k)
    mean = detach.expected_product(a, b, 1 - p)[1, -1]
    variance = detach.second_moment(a, b, 1 - p)[1, -1, 1, -1] - mean**2
    drawn = []
    for seed in range(500):
        rnn.streams = type(rnn.streams)(seed)
        _, (_, c) = rnn(x[:, None])
        (whole,) = torch.autograd.grad(c[0, 0, 1], rnn.weight_hh_l0)
        drawn.append(split(whole.T, rnn.core.blocks())["forget"][0, 1])
    error = (torch.stack(drawn).mean() - mean).abs()
    assert variance > 0
    assert error <= 5 * (variance / 500).sqrt()


def test_the_output_gate_learns_from_the_last_step_only_at_p_1():
    rnn, x, *_ = example(h_detach=1.0)
    path = detach.trajectory(rnn, x)
    out, _ = rnn(x[:, None])
    (whole,) = torch.autograd.grad(out[-1, 0, 2], rnn.weight_ih_l0)
    got = split(whole.T, rnn.core.blocks())["output"][:, 2]
    close(got, path.slopes["output"][-1, 2] * x[-1])


def test_a_gru_s_linear_path_is_the_product_of_its_gates():
    rnn = GRU(2, H, h_detach=1.0, **F64)
    x, h = torch.randn(T, 1, 2, **F64), torch.randn(H, **F64)
    with record(rnn) as gates:
        rnn(x, h[None, None])
    got = torch.autograd.functional.jacobian(
        lambda h: rnn(x, h[None, None])[1].flatten(), h
    )
    close(got, gates["l0"]["effective_forget"].prod(0).squeeze(0).diag())


# -- paths ------------------------------------------------------------------------


@pytest.mark.parametrize("p", [0.0, 0.25, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 6])
def test_paths_by_enumeration(steps, p):
    """Every path against every draw of the T - 1 steps that can lead through h."""
    expected, visits = 0.0, [0.0] * steps
    for xi in itertools.product((0, 1), repeat=steps - 1):
        weight = math.prod(1 - p if kept else p for kept in xi)
        for path in itertools.product("ch", repeat=steps - 1):
            if all(s == "c" or kept for s, kept in zip(path, xi, strict=True)):
                expected += weight
                visits[path.count("h")] += weight
    assert detach.expected_paths(steps, p) == pytest.approx(expected)
    share = torch.tensor(visits, **F64) / expected
    torch.testing.assert_close(
        detach.visit_law(steps, p), share, atol=1e-12, rtol=1e-12
    )


def test_paths_by_counting_matrices():
    a = torch.tensor([[1.0, 0], [1, 0]], **F64).expand(7, 2, 2)
    b = torch.tensor([[0.0, 1], [0, 1]], **F64).expand(7, 2, 2)
    for p in (0.0, 0.3, 1.0):
        count = detach.expected_product(a, b, 1 - p)[0, 0].item()
        assert detach.expected_paths(7, p) == pytest.approx(count)
    counts = detach.by_visits(a, b)[:-1, 0, 0]
    assert counts.tolist() == [math.comb(6, m) for m in range(7)]


def test_bad_arguments_name_themselves():
    a = torch.zeros(1, 2, 2, **F64)
    for call in (
        lambda: detach.expected_product(a, a, 1.5),
        lambda: detach.second_moment(a, a, -0.1),
        lambda: detach.backward(a, a, torch.zeros(2, **F64), 2.0),
    ):
        with pytest.raises(ValueError, match="q is"):
            call()
    with pytest.raises(ValueError, match="steps"):
        detach.expected_paths(0, 0.5)
    with pytest.raises(ValueError, match="p is"):
        detach.visit_law(3, 1.5)
