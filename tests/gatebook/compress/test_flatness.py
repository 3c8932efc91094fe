"""The loss around a model's gates."""

import statistics

import pytest
import torch
from gatebook import LSTM
from gatebook.compress import flatness, sharpness
from torch import nn


def squares(model):
    """A loss that needs no data: the sum of squared weights."""
    return sum(p.square().sum() for n, p in model.named_parameters() if "weight" in n)


def test_a_change_has_the_length_that_was_asked():
    model = nn.LSTM(6, 16, dtype=torch.float64)
    kept = {k: v.clone() for k, v in model.state_dict().items()}
    seen = []

    def loss(m):
        state = m.state_dict()
        seen.append({k: state[k] - kept[k] for k in kept})
        return 0.0

    flatness(model, loss, 0.3, draws=3, gates=["forget"])
    assert not any(v.any() for v in seen[0].values())  # the loss as it is
    for change in seen[1:]:
        for name in ("weight_ih_l0", "weight_hh_l0"):
            own = kept[name][16:32].norm()
            torch.testing.assert_close(change[name][16:32].norm(), 0.3 * own)
            assert not change[name][:16].any() and not change[name][32:].any()
        assert not change["bias_ih_l0"].any()
    assert not torch.equal(seen[1]["weight_ih_l0"], seen[2]["weight_ih_l0"])


def test_a_square_rises_by_the_length_squared():
    # ‖W + ε‖W‖ z‖² = (1 + ε²) ‖W‖² on average over directions z.
    model = LSTM(30, 32, dtype=torch.float64)
    around = flatness(model, squares, 0.5, draws=40, gates="all")
    assert around.loss == pytest.approx(squares(model).item())
    assert around.rise == pytest.approx(0.25 * around.loss, rel=0.05)
    assert around.spread == statistics.stdev(around.losses)


def test_equal_seeds_give_equal_losses_and_torchs_generator_rests():
    model = LSTM(3, 16)
    x, state = torch.randn(5, 2, 3), torch.get_rng_state()
    loss = lambda m: m(x)[0].square().mean()  # noqa: E731
    one = flatness(model, loss, 0.1)
    assert torch.equal(torch.get_rng_state(), state)
    assert one == flatness(model, loss, 0.1)
    assert one != flatness(model, loss, 0.1, seed=1)


def test_a_shut_gate_is_flat():
    """P1 §3.2: saturated gates make the loss flat in the gates' weights."""
    x, ups = torch.randn(20, 4, 3), []
    for bias in (0.0, 12.0):
        torch.manual_seed(0)
        model = LSTM(3, 16, gate="LSTM0")
        with torch.no_grad():
            model.bias_ih_l0[:32] += bias
        y = model(x)[0].detach()
        loss = lambda m, y=y: (m(x)[0] - y).square().mean()  # noqa: E731
        ups.append(flatness(model, loss, 0.2).rise)
    assert 0 <= ups[1] < 1e-6 * ups[0]


def test_values_out_of_range_are_refused():
    model = LSTM(3, 16)
    with pytest.raises(ValueError, match="noise is 0.0; allowed: a finite number > 0"):
        flatness(model, squares, 0.0)
    with pytest.raises(ValueError, match="draws is 1; allowed: an integer >= 2"):
        flatness(model, squares, 0.1, draws=1)
    with pytest.raises(ValueError, match="'refine'"):
        flatness(model, squares, 0.1, gates="refine")


def test_the_worst_change_of_a_square_is_along_the_weights():
    # G = 2 W, so that ‖W + ε‖W‖ G/‖G‖‖² = (1 + ε)² ‖W‖².
    model = LSTM(30, 32, dtype=torch.float64)
    rise = sharpness(model, squares, 0.5, gates="all")
    assert rise == pytest.approx(1.25 * squares(model).item())
    assert all(p.grad is None for p in model.parameters())


def test_no_random_change_is_as_bad_as_the_worst_one():
    model, x = LSTM(3, 16, dtype=torch.float64), torch.randn(9, 4, 3).double()
    loss = lambda m: m(x)[0].square().mean()  # noqa: E731
    around = flatness(model, loss, 0.01, draws=20)
    assert sharpness(model, loss, 0.01) > max(around.losses) - around.loss


def test_a_flat_loss_has_no_worst_change():
    model = LSTM(3, 16)
    assert sharpness(model, lambda m: 0 * m.weight_ih_l0.sum() + squares(m) * 0, 1) == 0


def test_a_weight_without_a_gradient_stays():
    model = nn.LSTM(6, 16, 2)
    model.weight_hh_l1.requires_grad_(False)
    wanted = sharpness(nn.LSTM(6, 16, 2), lambda m: m.weight_ih_l0.square().sum(), 0.1)
    assert wanted > 0
    assert sharpness(model, lambda m: m.weight_ih_l0.square().sum(), 0.1) > 0


def test_shared_weights_are_moved_once():
    model = nn.ModuleDict({name: LSTM(2, 4) for name in "ab"})
    model["b"].weight_ih_l0 = model["a"].weight_ih_l0
    model["b"].weight_hh_l0 = model["a"].weight_hh_l0
    x = torch.randn(5, 3, 2)
    loss = lambda m: m["a"](x)[0].square().mean() + 0 * m["b"](x)[0].sum()  # noqa: E731
    alone = sharpness(model["a"], lambda m: m(x)[0].square().mean(), 0.1)
    assert sharpness(model, loss, 0.1) == pytest.approx(alone)
    assert sharpness(model, loss, 0.1, layers=["b.l0"]) == pytest.approx(alone)
