"""The distance between draws and a law, on cases that can be done by hand."""

import pytest
import torch
from gatebook_book.theory.kolmogorov import allowed, distance


def test_both_sides_of_a_step_count():
    # One draw at 0.2: the share jumps from 0 to 1 where the law has 0.2.
    assert distance(torch.tensor([0.2]), lambda x: x) == pytest.approx(0.8)
    assert distance(torch.tensor([0.8]), lambda x: x) == pytest.approx(0.8)


def test_points_are_where_it_looks():
    draws = torch.tensor([0.1, 0.2, 0.9])
    points = torch.tensor([0.5])
    assert distance(draws, lambda x: x, points) == pytest.approx(2 / 3 - 0.5)


def test_draws_from_the_law_pass_and_others_do_not():
    uniform = torch.rand(10_000, dtype=torch.float64)
    assert distance(uniform, lambda x: x) < allowed(10_000)
    assert distance(uniform**1.1, lambda x: x) > allowed(10_000)
