"""The linear-recurrent cells: one promise each, kept by all."""

import gatebook
import pytest
import torch
from gatebook import record
from gatebook.gates import Chrono, Constant, Gate, Gumbel, HDetach, Refine, Uniform
from gatebook.modern import CELLS, LogUniform, Ring, Steps
from torch import nn

EVERY = pytest.mark.parametrize("name", CELLS)
FEATURES, H, B, T = 5, 8, 3, 6


def make(name, **options):
    return CELLS[name](FEATURES, H, seed=0, **{"dtype": torch.float64} | options)


def sequence(steps=T):
    return torch.randn(steps, B, FEATURES, dtype=torch.float64)


def leaves(state):
    return state if isinstance(state, tuple) else (state,)


def assert_close(one, other):
    for a, b in zip(leaves(one), leaves(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def gradients(cell, x, state=None):
    output, last = cell(x, state)
    total = output.sin().sum() + sum(part.sin().sum() for part in leaves(last))
    return torch.autograd.grad(total, [x, *cell.parameters()], allow_unused=True)


@EVERY
def test_steps_halves_and_the_whole_are_equal(name):
    cell, x = make(name), sequence()
    whole, last = cell(x)
    first, state = cell(x[:4])
    second, end = cell(x[4:], state)
    assert_close(torch.cat([first, second]), whole)
    assert_close(end, last)
    state, outputs = None, []
    for x_t in x:
        output, state = cell.step(x_t, state)
        outputs.append(output)
    assert_close(torch.stack(outputs), whole)
    assert_close(state, last)


@EVERY
def test_no_state_is_a_state_of_zeros(name):
    cell, x = make(name), sequence()
    state = cell(x)[1]
    zeros = tuple(torch.zeros_like(part) for part in leaves(state))
    assert_close(cell(x, zeros if isinstance(state, tuple) else zeros[0]), cell(x))


@EVERY
def test_the_reference_computes_the_same_with_the_same_gradients(name):
    cell, x = make(name), sequence().requires_grad_()
    ours = cell(x)[0], *gradients(cell, x)
    with gatebook.reference():
        theirs = cell(x)[0], *gradients(cell, x)
    assert_close(ours, theirs)


@EVERY
def test_gradients_against_differences(name):
    cell = make(name)
    x = sequence(3)[:, :1].contiguous().requires_grad_()
    start = tuple(p.detach().requires_grad_() for p in leaves(cell(x)[1]))

    def run(x, *start):
        output, last = cell(x, start if len(start) > 1 else start[0])
        return output, *leaves(last)

    assert torch.autograd.gradcheck(run, (x, *start), fast_mode=True)


@EVERY
def test_every_parameter_learns(name):
    cell, x = make(name), sequence().requires_grad_()
    for found in gradients(cell, x):
        assert found is not None and found.abs().max() > 0


@EVERY
def test_nan_stays_in_its_sequence(name):
    cell, x = make(name), sequence()
    clean = cell(x)[0]
    x[2, 1, 0] = torch.nan
    seen = cell(x)[0]
    assert seen[2:, 1].isnan().any()
    assert torch.equal(seen[:2], clean[:2])
    assert torch.equal(seen[:, [0, 2]], clean[:, [0, 2]])


@EVERY
def test_equal_seeds_start_and_draw_equally(name):
    runs = []
    for _ in range(2):
        torch.manual_seed(1)
        cell = make(name, gate=Gate(Constant(0.0), noise=Gumbel(p=1.0)))
        runs.append(cell(torch.ones(T, B, FEATURES, dtype=torch.float64))[0])
    assert torch.equal(*runs)
    quiet = cell.eval()(torch.ones(T, B, FEATURES, dtype=torch.float64))[0]
    assert not torch.equal(quiet, runs[0])


@EVERY
def test_the_recorder_sees_the_gates(name):
    cell, x = make(name), sequence()
    with record(cell) as gates:
        cell(x)
    f = gates["l0"]["effective_forget"]
    assert f.shape[:2] == (T, B)
    assert not f.requires_grad and (f > 0).all() and (f < 1).all()


@EVERY
def test_a_model_that_starts_its_linear_layers_anew_keeps_the_law(name):
    def start_anew(part):
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)

    cell = make(name)
    before = cell.timescales()
    nn.Sequential(cell).apply(start_anew)
    assert torch.equal(cell.timescales(), before)


@EVERY
def test_half_precision_and_autocast(name):
    cell = make(name, dtype=torch.float32)
    x = sequence().float()
    expected = cell(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        output = cell(x)[0]
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, atol=0.05, rtol=0.05)


@EVERY
def test_gates_that_no_cell_takes(name):
    for gate in ("O", "UM", "CIFG", Gate(gradient=gatebook.gates.CDetach(0.5))):
        with pytest.raises(ValueError, match="allowed"):
            make(name, gate=gate)


@EVERY
def test_h_detach_needs_gates_that_read_h(name):
    gate = Gate(Constant(0.0), gradient=HDetach(1.0))
    if name == "sLSTM":
        make(name, gate=gate)
    else:
        with pytest.raises(ValueError, match="do not read h"):
            make(name, gate=gate)


@EVERY
def test_bad_input(name):
    cell, x = make(name), sequence()
    state = cell(x)[1]
    short = tuple(part[:2] for part in leaves(state))
    with pytest.raises(ValueError, match="shape"):
        cell(x, short if isinstance(state, tuple) else short[0])
    with pytest.raises(TypeError, match="allowed"):
        cell(x, 3)
    with pytest.raises(ValueError, match="input has shape"):
        cell(x[..., :2])
    with pytest.raises(ValueError, match="input has dtype"):
        cell(x.float())
    with pytest.raises(ValueError, match="hidden_size is 0"):
        CELLS[name](FEATURES, 0)


def test_minimal_gru_is_its_equation():
    cell, x = make("minGRU"), sequence()
    z = x @ cell.gate_weight.T + cell.gate_bias
    v = cell.value(x)
    h, outputs = torch.zeros(B, H, dtype=torch.float64), []
    for f, v_t in zip(z.sigmoid(), v, strict=True):
        h = f * h + (1 - f) * torch.where(v_t >= 0, v_t + 0.5, v_t.sigmoid())
        outputs.append(h)
    assert_close(cell(x)[0], torch.stack(outputs))


@pytest.mark.parametrize("bias", ["zero", "mirrored"])
def test_the_refine_gate_is_that_of_the_grid(bias):
    gate = Gate(Uniform(), Refine(bias))
    cell, x = make("minGRU", gate=gate), sequence()
    pre = (x @ cell.gate_weight.T + cell.gate_bias).split(H, -1)
    expected = gate.effective(dict(zip(cell.blocks, pre, strict=True)), tied=True)
    with record(cell) as gates:
        cell(x)
    assert_close(gates["l0"]["effective_forget"], expected["effective_forget"])


DRAW = [name for name in CELLS if not CELLS[name].takes.draws]
LAWS = [Uniform(), Chrono(200), LogUniform(2, 200), Steps(), Ring(0.81, 0.998, 2)]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", DRAW)
def test_a_law_is_one_of_the_effective_forget_gate(name, law):
    tau = CELLS[name](1, 4096, gate=Gate(law)).timescales()
    tau = tau[:, 0] if name == "Mamba" else tau
    expected = -1 / nn.functional.logsigmoid(law.forget_bias(4096, None))
    places = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    ratio = tau.quantile(places) / expected.quantile(places)
    assert (ratio.log().abs() < 0.25).all()


def test_a_law_needs_a_bias():
    make("minGRU", bias=False)
    with pytest.raises(ValueError, match="the law is its bias"):
        make("minGRU", bias=False, gate="U")
