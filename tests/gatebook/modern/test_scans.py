"""Other ways to the linear recurrence: equal values, and what the log space loses."""

from inspect import unwrap

import pytest
import torch
from gatebook.modern import linear_recurrence
from gatebook.modern.scans import associative, chunked, log_space
from torch.nn import functional as F

ALL = {"materialize_grads": True}  # one step has no use for its factor


def in_logs(a, b):
    return log_space(a.log(), b.log())


@pytest.mark.parametrize("steps", [1, 2, 16, 23])
@pytest.mark.parametrize("way", [chunked, associative, in_logs])
def test_every_way_equals_the_recurrence(way, steps):
    given = [torch.rand(steps, 2, 3, dtype=torch.float64) for _ in range(2)]
    given = [x.requires_grad_() for x in given]
    results = []
    for function in (way, linear_recurrence):
        out = function(*given)
        results.append([out, *torch.autograd.grad(out.sin().sum(), given, **ALL)])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("chunk", [1, 5, 100])
def test_any_chunk(chunk):
    a, b = torch.rand(2, 12, 3, dtype=torch.float64)
    torch.testing.assert_close(chunked(a, b, chunk), linear_recurrence(a, b))
    with pytest.raises(ValueError, match="chunk is 0"):
        chunked(a, b, 0)


@pytest.mark.parametrize("way", [chunked, associative])
def test_bad_input(way):
    with pytest.raises(ValueError, match="a has shape .*; allowed: at least one step"):
        way(torch.ones(0, 2), torch.ones(0, 2))
    with pytest.raises(TypeError, match="a is a list; allowed: a tensor"):
        unwrap(way)([1.0], [2.0])


def gradient(way, z, v):
    """Of minGRU's forget pre-activation z."""
    z = z.detach().requires_grad_()
    if way == "loop":
        h = linear_recurrence(z.sigmoid(), (-z).sigmoid() * v)
    else:
        h = log_space(F.logsigmoid(z), F.logsigmoid(-z) + v.log())
    return torch.autograd.grad(h.sum(), z)[0]


def test_the_log_space_loses_its_gradient():
    z, v = torch.randn(1024, 32), torch.rand(1024, 32) + 0.5
    exact = gradient("loop", z.double(), v.double())
    error = {
        way: ((gradient(way, z, v) - exact).norm() / exact.norm()).item()
        for way in ("loop", "log space")
    }
    assert error["loop"] < 1e-6
    assert error["log space"] > 100 * error["loop"]
