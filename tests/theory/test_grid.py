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
    Uniform,
    refine,
)

POINTS = list(
    itertools.product(
        (Constant(), Chrono(), Uniform(), Ordered()),
        (Plain(), Refine(), Master(downsize=4)),
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
