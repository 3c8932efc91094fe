"""The fused scan reads a tensor only if it is what the scan takes it for."""

import subprocess
import sys

import pytest
import torch
from gatebook import GRU, LSTM, LSTMCell, reference
from gatebook.modern import SLSTM
from gatebook.rnn import together


@pytest.mark.parametrize("kind", [LSTM, GRU, LSTMCell])
def test_autocast_does_not_make_float64_fit(kind):
    x = torch.randn(2, 4, dtype=torch.float64)
    module = kind(4, 5)
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(
            ValueError, match="input has dtype torch.float64; allowed: torch.f"
        ),
    ):
        module(x)


@pytest.mark.parametrize("first", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("second", [torch.float64, torch.bfloat16])
def test_models_of_different_precision_run_side_by_side(first, second):
    pair = [LSTM(4, 5, dtype=first), LSTM(4, 5, dtype=second)]
    xs = [torch.randn(3, 2, 4, dtype=kind) for kind in (first, second)]
    for module, x, out in zip(pair, xs, together(pair, xs), strict=True):
        assert torch.equal(out, module(x)[0])


# The types in the tests' own checks would stop these first; a user has none.
UNREADABLE = """
import torch
from gatebook import LSTM, LSTMCell
from torch import nn

def refused(module, x):
    try:
        module(x)
    except (RuntimeError, ValueError):
        return
    raise SystemExit("read")

x = torch.ones(2, 1, 4)
for name, shape in (("weight_ih", (20, 3)), ("weight_hh", (19, 5)), ("bias_hh", (19,))):
    rnn, cell = LSTM(4, 5), LSTMCell(4, 5)
    setattr(rnn, f"{name}_l0", nn.Parameter(torch.randn(shape)))
    setattr(cell, name, nn.Parameter(torch.randn(shape)))
    refused(rnn, x)
    with torch.no_grad():
        refused(cell, x[0])
for module in (LSTM(4, 5), LSTMCell(4, 5)):
    for name, value in list(module.named_parameters()):
        rows = nn.Parameter(torch.randn(24, *value.shape[1:]))  # one gate too many
        setattr(module, name, rows)
    with torch.no_grad():
        refused(module, x[0] if isinstance(module, LSTMCell) else x)
"""


def test_a_weight_of_another_shape_is_never_read():
    subprocess.run([sys.executable, "-c", UNREADABLE], check=True)


NOISY = [{}, {"gate": "G2"}, {"h_detach": 0.5}, {"zoneout": (0.1, 0.1)}]


@pytest.mark.parametrize("options", NOISY)
def test_another_default_device_changes_nothing(options):
    x = torch.randn(200, 8, 8)
    a, b = (LSTM(8, 64, seed=0, **options) for _ in range(2))
    b.load_state_dict(a.state_dict())
    wanted = a(x)[0]
    with torch.device("meta"):
        found = b(x)[0]
    assert torch.equal(found, wanted)


def test_another_default_device_changes_nothing_in_a_linear_cell():
    cell, x = SLSTM(8, 16, seed=0), torch.randn(20, 2, 8)
    wanted = cell(x)[0]
    with torch.device("meta"):
        found = cell(x)[0]
    assert torch.equal(found, wanted)


def test_evaluation_in_inference_mode_leaves_training_as_it_was():
    rnn, x = LSTM(8, 64), torch.randn(320, 8, 8)
    with torch.inference_mode():
        wanted = rnn(x)[0]
    found = rnn(x)[0]  # in arrays that the pass above has left
    assert torch.equal(found, wanted)
    found.sum().backward()
    assert rnn.weight_hh_l0.grad.isfinite().all()


def test_a_gradient_below_the_least_normal_number_is_zero():
    """Each step halves it or so: after 300 it would be 1e-70, and slow on the way."""
    rnn = LSTM(3, 16, gate="LSTM0", seed=0)
    x = torch.randn(600, 4, 3, requires_grad=True)

    def gradient():
        return torch.autograd.grad(rnn(x)[0][-1].sum(), x)[0]

    found = gradient()
    with reference():
        wanted = gradient()
    least = torch.finfo(torch.float32).tiny
    assert ((wanted != 0) & (wanted.abs() < least)).any()
    assert not ((found != 0) & (found.abs() < least)).any()
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=1e-5)
    assert torch.tensor([least / 4]) * 1.0 != 0  # the caller's own numbers stay
