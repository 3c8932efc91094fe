"""The grid's gates in logarithms, exact near 0 and 1, and the laws of their start."""

import pytest
import torch
from gatebook import LSTM
from gatebook.gates import Gate, Refine
from gatebook.modern import Graded, LogUniform, Ring, Spaced, Steps
from gatebook.modern.gates import log_forget, log_input, pair


def grid(refined):
    z = torch.linspace(-60, 60, 61)
    if not refined:
        return {"forget": z}
    z, r = torch.meshgrid(z, torch.linspace(-4, 4, 17), indexing="ij")
    return {"forget": z, "refine": r}


@pytest.mark.parametrize("refined", [False, True])
def test_logarithms_keep_their_digits_near_both_ends(refined):
    single = grid(refined)
    double = {name: value.double() for name, value in single.items()}
    for function in (log_forget, log_input):
        exact = function(double)
        found = function(single).double()
        assert ((found - exact) / exact).abs().max() < 1e-5
    for gate, log in zip(pair(double), (log_forget, log_input), strict=True):
        torch.testing.assert_close(gate.log(), log(double), rtol=1e-8, atol=1e-12)


def test_gate_and_input_gate_add_up_to_one():
    f, i = pair({name: value.double() for name, value in grid(True).items()})
    torch.testing.assert_close(f + i, torch.ones_like(f))
    refined = Gate(auxiliary=Refine()).effective(grid(True), tied=True)
    torch.testing.assert_close(f.float(), refined["effective_forget"])


def draws(law):
    """Timescales -1 / log f of many units."""
    return -1 / torch.nn.functional.logsigmoid(law.forget_bias(20_000, None).double())


def test_a_log_uniform_law_has_the_same_share_at_every_scale():
    tau = 1 / -torch.expm1(-1 / draws(LogUniform(2, 512)))  # 1 / (1 - f)
    shares = [((tau >= k) & (tau < 2 * k)).double().mean() for k in (2, 16, 128)]
    assert all(abs(share - 1 / 8) < 0.015 for share in shares)
    assert tau.min() >= 1.999 and tau.max() <= 513


def test_published_laws_have_their_quantiles():
    places = torch.tensor([0.1, 0.5, 0.9]).double()
    expected = {
        Steps(): [15.8, 100, 631],  # 10 to 1000, log-uniform
        Ring(0.81, 0.998001, 2): [2.65, 4.9, 24.3],
        Ring(0.9, 0.999, 0.5): [21.0, 38.4, 179],
    }
    for law, values in expected.items():
        ratio = draws(law).quantile(places) / torch.tensor(values).double()
        assert (ratio.log().abs() < 0.06).all(), law


def test_grids_are_not_drawn():
    assert torch.equal(Spaced(3, 6).forget_bias(4, None), torch.tensor([3.0, 4, 5, 6]))
    last = Graded(layer=2, layers=3, heads=1).forget_bias(3, None)
    assert torch.allclose(last, torch.tensor([5, 5 - 12 * 0.5**1.6, -7]))


@pytest.mark.parametrize(
    "law", [LogUniform(2, 200), Steps(), Ring(), Spaced(), Graded()]
)
def test_an_lstm_takes_them_too(law):
    rnn = LSTM(2, 8, gate=Gate(law))
    i, f, *_ = rnn.bias_ih_l0.chunk(4)
    if law.mirrors_input:
        assert torch.equal(i, -f) and len(f.unique()) > 4
    else:
        assert torch.equal(f, law.forget_bias(8, None))
    rnn.load_state_dict(LSTM(2, 8, gate="U").state_dict())  # the same function


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: LogUniform(1, 10), "1 < low"),
        (lambda: LogUniform(20, 10), "low is 20 and high 10"),
        (lambda: Steps(0, 1), "low is 0"),
        (lambda: Ring(0.5, 1), "high < 1"),
        (lambda: Ring(0.5, 0.9, power=0), "power is 0"),
        (lambda: Graded(2, 2), "layers is 2"),
        (lambda: Spaced(torch.nan, 6.0), "low is nan; allowed: a finite number"),
        (lambda: Spaced(3.0, torch.inf), "high is inf"),
    ],
)
def test_bad_laws(make, words):
    with pytest.raises(ValueError, match=words):
        make()
