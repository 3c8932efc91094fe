"""What the errata say of public code on linear-recurrent models, worked out again."""

import math

import pytest
import torch
from gatebook.gates import Constant, Gate
from gatebook.modern import GLA, RGLRU, Mamba, MinLSTM
from gatebook_book.theory.laws import LAWS
from torch.nn import functional as F


def positive(v):
    """The g of minGRU and minLSTM."""
    return torch.where(v >= 0, v + 0.5, v.sigmoid())


def port(v, f, i, carried=None):
    """minLSTM as the port computes several steps: the carried state through g."""
    h = torch.zeros_like(v[0]) if carried is None else positive(carried)
    gate = f.sigmoid() / (f.sigmoid() + i.sigmoid())
    out = []
    for g, own in zip(gate, positive(v), strict=True):
        h = g * h + (1 - g) * own
        out.append(h)
    return torch.stack(out)


def test_a_carried_state_passes_the_ports_candidate_function_again():
    torch.manual_seed(0)
    v, f, i = torch.randn(3, 20, 5, dtype=torch.float64)
    whole = port(v, f, i)
    first = port(v[:10], f[:10], i[:10])
    second = port(v[10:], f[10:], i[10:], first[-1])
    assert (second - whole[10:]).abs().max() > 0.1
    empty = port(v, f, i, torch.zeros(5, dtype=torch.float64))
    assert (empty - whole).abs().max() > 0.1


def test_here_two_halves_are_the_whole():
    torch.manual_seed(0)
    cell, x = MinLSTM(3, 5).double(), torch.randn(20, 2, 3, dtype=torch.float64)
    whole, last = cell(x)
    first, h = cell(x[:10])
    second, end = cell(x[10:], h)
    torch.testing.assert_close(torch.cat([first, second]), whole, rtol=1e-12, atol=0)
    torch.testing.assert_close(end, last, rtol=1e-12, atol=0)
    zeros, _ = cell(x, torch.zeros_like(h))
    torch.testing.assert_close(zeros, whole, rtol=1e-12, atol=0)


def test_the_code_of_rg_lru_forgets_eight_times_faster_than_its_paper():
    torch.manual_seed(0)
    a_squared = torch.empty(100_000).uniform_(0.9**2, 0.999**2)
    base = torch.log(torch.exp(-0.5 * a_squared.log()) - 1)  # its parameter
    code = 1 / (8 * 0.5 * F.softplus(base))
    paper = -2 / torch.empty(100_000).uniform_(0.9, 0.999).log()
    assert paper.median() / code.median() == pytest.approx(7.8, rel=0.03)
    ours = RGLRU(1, 4000, heads=4000).timescales().median()
    assert ours == pytest.approx(code.median().item(), rel=0.1)


def test_the_states_of_s4d_remember_twice_as_long_as_their_step_says():
    rates = torch.complex(torch.tensor(-0.5), math.pi * torch.arange(32.0))
    step = torch.tensor([0.001, 0.1], dtype=torch.float64)
    periods = -1 / torch.exp(step * rates.to(torch.complex128)[:, None]).abs().log()
    assert periods == pytest.approx((2 / step).expand(32, 2).numpy(), rel=1e-9)
    outside = LAWS["S4"].survival(torch.tensor([19.9, 2001.0]))
    torch.testing.assert_close(outside, torch.tensor([1.0, 0.0]))


def test_a_layer_of_gla_made_alone_spreads_its_timescales_from_19_to_28():
    spread = [-16 / F.logsigmoid(torch.tensor(b)).item() for b in (-0.25, 0.0, 0.25)]
    assert spread == pytest.approx([19.4, 23.1, 27.8], abs=0.05)
    ours = GLA(4, 8).timescales()
    torch.testing.assert_close(ours, torch.full_like(ours, spread[1]))


def test_a_step_bias_of_one_forgets_within_a_step():
    assert F.softplus(torch.tensor(1.0)).item() == pytest.approx(1.3133, abs=1e-4)
    lost = Mamba(1, 8, states=4, gate=Gate(Constant(-1.0))).timescales()
    assert lost.max().item() == pytest.approx(1 / math.log1p(math.e), rel=1e-4)
    assert Mamba(1, 500, states=1).timescales().median() > 50


def test_the_sigmoid_of_a_modulus_is_at_least_a_half():
    torch.manual_seed(0)
    assert torch.randn(1000, dtype=torch.complex64).abs().sigmoid().min() >= 0.5
