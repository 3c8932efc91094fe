"""The gradient of a constant gate against autograd and against a search."""

import pytest
import torch
from gatebook_book.theory import gate


def test_the_gradient_is_the_derivative_of_what_is_left():
    bias = torch.linspace(-3, 9, 25, dtype=torch.float64, requires_grad=True)
    for steps in (1, 7, 100):
        left = gate.share_left(bias, steps)
        (found,) = torch.autograd.grad(left.sum(), bias)
        torch.testing.assert_close(gate.gradient(bias, steps), found)


@pytest.mark.parametrize("steps", [1, 10, 100])
def test_no_timescale_has_a_larger_gradient(steps):
    periods = torch.linspace(1.01, 300, 30_000, dtype=torch.float64)
    values = gate.gradient((periods - 1).log(), steps)
    period, largest = gate.largest_gradient(steps)
    assert periods[values.argmax()] == pytest.approx(period, abs=0.01)
    assert values.max() == pytest.approx(largest, rel=1e-4)
    assert values.max() <= largest * (1 + 1e-12)
