"""What a user of torch's modules does with these, and with weights of both."""

import inspect
import subprocess
import sys

import pytest
import torch
from gatebook import GRU, LSTM
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn.utils import parametrizations, parametrize

PAIRS = [(LSTM, nn.LSTM), (GRU, nn.GRU)]
PARAMETRIZATIONS = [
    parametrizations.weight_norm,
    parametrizations.orthogonal,
    parametrizations.spectral_norm,
]


@pytest.mark.parametrize(("kind", "torch_kind"), PAIRS)
def test_arguments_are_taken_in_torchs_order(kind, torch_kind):
    given = (3, 4, 2, True, True, 0.5, True, 0, "cpu", torch.float64)
    ours, theirs = kind(*given), torch_kind(*given)
    names = "num_layers batch_first dropout bidirectional proj_size hidden_size"
    for name in names.split():
        assert getattr(ours, name) == getattr(theirs, name)
    assert ours.weight_hh_l1_reverse.dtype == torch.float64


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_the_signature_shows_the_arguments(kind):
    shown = inspect.signature(kind).parameters
    assert {"hidden_size", "dropout", "gate", "zoneout", "seed"} <= shown.keys()


@pytest.mark.parametrize(("kind", "torch_kind"), PAIRS)
@pytest.mark.parametrize("change", PARAMETRIZATIONS)
def test_a_parametrized_weight_goes_both_ways_as_it_is(kind, torch_kind, change):
    theirs = change(torch_kind(3, 4), "weight_hh_l0")
    x = torch.randn(5, 2, 3)
    wanted = theirs.eval()(x)[0]
    ours = kind.from_torch(theirs)
    torch.testing.assert_close(ours(x)[0], wanted)
    changed = change(ours, "weight_hh_l0").eval()
    torch.testing.assert_close(changed.to_torch()(x)[0], changed(x)[0])


def test_a_weight_that_was_parametrized_can_be_trained():
    theirs = parametrizations.weight_norm(nn.LSTM(3, 4), "weight_hh_l0")
    ours = LSTM.from_torch(theirs)
    changed = parametrizations.weight_norm(ours, "weight_hh_l0")
    for module in (LSTM.from_torch(theirs), changed.to_torch()):
        assert all(p.requires_grad for p in module.parameters())


@pytest.mark.parametrize("change", PARAMETRIZATIONS)
def test_a_parametrized_weight_starts_anew(change):
    rnn = change(LSTM(3, 4), "weight_hh_l0").eval()
    with torch.no_grad():
        before = rnn.weight_hh_l0.clone()
    rnn.reset_parameters()
    assert not torch.allclose(rnn.weight_hh_l0, before, atol=1e-3)


class Doubled(nn.Module):
    def forward(self, weight):
        return 2 * weight


def test_a_parametrization_that_cannot_be_set_is_named():
    rnn = LSTM(3, 4)
    parametrize.register_parametrization(rnn, "weight_hh_l0", Doubled())
    with pytest.raises(ValueError, match="weight_hh_l0 has a parametrization that"):
        rnn.reset_parameters()


@pytest.mark.parametrize("gate", ["LSTM0", "UR", "G2"])
def test_a_module_is_built_of_fake_tensors(gate):
    with FakeTensorMode():
        rnn = LSTM(3, 4, gate=gate, bias=gate != "LSTM0")
    assert rnn.weight_hh_l0.shape == (16, 4)


NUMBERS = """
import numpy as np, torch
from gatebook import GRU, LSTM, Gate
from gatebook.gates import Gumbel, Master, Ordered
rnn = LSTM(np.int64(3), np.int32(4), num_layers=np.int32(2), dropout=np.float32(0.5),
           gate=Gate(Ordered(), Master(np.int64(2)), Gumbel(np.float32(0.5))),
           zoneout=(np.float64(0.1), np.float32(0.2)), seed=np.int64(3))
out = rnn(torch.zeros(2, 1, 3))[0]
assert out.shape == (2, 1, 4) and out.dtype == torch.float32
assert rnn.streams.seed == 3
assert type(rnn.dropout) is float and type(rnn.num_layers) is int
GRU(3, 4, zoneout=np.float32(0.5), h_detach=np.float32(0.5))(torch.zeros(2, 1, 3))
"""


def test_numpys_numbers_are_numbers():
    # In a process of its own: here the annotations would be checked first.
    subprocess.run([sys.executable, "-c", NUMBERS], check=True)
