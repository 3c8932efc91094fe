"""What the four axes do to each other."""

import itertools

import pytest
import torch
from gatebook import LSTM, Gate
from gatebook.gates import (
    CDetach,
    Chrono,
    Constant,
    Full,
    Gumbel,
    HDetach,
    Master,
    Ordered,
    Plain,
    Refine,
    Sharpened,
    Silent,
    Tied,
    Uniform,
    refine,
)

POINTS = list(
    itertools.product(
        (Constant(), Chrono(), Uniform(), Ordered()),
        (Plain(), Tied(), Refine(), Master(downsize=4)),
        (Silent(), Gumbel(), Sharpened()),
    )
)


@pytest.mark.parametrize("point", POINTS, ids=str)
def test_the_gradient_rule_leaves_all_values_alone(point):
    x = torch.randn(5, 2, 3)

    def run(rule):
        torch.manual_seed(0)
        cell = LSTM(3, 8, gate=Gate(*point, rule), seed=0)
        y, _ = cell(x)
        y.square().sum().backward()
        return y.detach(), cell.weight_hh_l0.grad

    y, gradient = run(Full())
    for rule in (HDetach(1.0), CDetach(1.0)):
        values, other = run(rule)
        assert torch.equal(values, y)
        assert not torch.allclose(other, gradient)


@pytest.mark.parametrize("r", [0.0, 0.5, 1.0])
def test_hard_gates_cannot_be_refined(r):
    f = torch.tensor([0.0, 1.0])
    assert torch.equal(refine(f, torch.full((2,), r)), f)


def test_a_step_moves_a_refined_gate_by_less_than_two_slopes():
    where, by = 4 * torch.randn(2, 2, 20_000, dtype=torch.float64)
    by = 1e-4 * by / by.norm(dim=0)
    g = refine(*where.sigmoid())
    moved = (refine(*(where + by).sigmoid()) - g).abs()
    assert (moved < 1e-4 * (2 + 1e-3) * g * (1 - g)).all()
    assert (moved > 1e-4 * 1.9 * g * (1 - g)).any()


@pytest.mark.parametrize("y", [-3.0, 3.0])
def test_at_a_small_temperature_the_refine_gate_has_no_say(y):
    noise = Gumbel(tau=1e-3, p=1.0)
    pre = torch.tensor([0.7, y], dtype=torch.float64)[:, None].expand(2, 20_000)
    drawn = noise.sample((2, 20_000), pre, torch.Generator().manual_seed(0))
    g = refine(*noise.apply(pre, drawn, training=True).sigmoid())
    wanted = torch.tensor(0.7).sigmoid().item()
    assert g.mean().item() == pytest.approx(wanted, abs=2.5 / 20_000**0.5 + 1e-3)
