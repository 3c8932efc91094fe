"""Streams: stable, separate, and able to go on where they stopped."""

import contextlib
import copy

import pytest
import torch
from gatebook import GRU, LSTM, reference
from gatebook.random import Streams, derive_seed, generator, same_draws
from torch import nn
from torch.utils.checkpoint import checkpoint


def test_a_seed_is_the_same_everywhere():
    # A change here would change every stored result.
    assert derive_seed("copy", 0, "train", 7) == 4338402769762837560


def test_parts_are_kept_apart():
    assert derive_seed("ab", "c") != derive_seed("a", "bc")
    assert derive_seed(1) != derive_seed("1")


def draw(streams, purpose):
    return torch.rand(4, generator=streams[purpose, "cpu"])


def test_purposes_do_not_disturb_each_other():
    alone, both = Streams(3), Streams(3)
    draw(both, "noise")
    assert torch.equal(draw(alone, "detach"), draw(both, "detach"))
    assert not torch.equal(draw(Streams(3), "noise"), draw(Streams(3), "detach"))


def test_state_goes_on_where_it_stopped():
    streams, later = Streams(0), Streams(99)
    draw(streams, "noise")
    later.load_state(streams.state())
    assert torch.equal(draw(streams, "noise"), draw(later, "noise"))


def test_a_copied_model_draws_the_same():
    streams = Streams(0)
    draw(streams, "noise")
    twin = copy.deepcopy(streams)
    assert torch.equal(draw(streams, "noise"), draw(twin, "noise"))


def test_the_default_generator_is_left_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    generator("x", 1)
    draw(Streams(0), "noise")
    assert torch.equal(torch.rand(1), expected)


# -- a pass that is run again for its gradient -------------------------------------

NOISY = [
    (LSTM, {"gate": "G2"}),
    (LSTM, {"zoneout": (0.3, 0.2), "num_layers": 2, "dropout": 0.5}),
    (GRU, {"weight_drop": 0.5, "h_detach": 0.5}),
]


def two_passes(kind, options, run):
    """Gradients of two passes that ``run`` makes, and the draws that come next."""
    torch.manual_seed(0)
    rnn = kind(3, 5, seed=0, **options, dtype=torch.float64)
    x = torch.randn(4, 2, 3, dtype=torch.float64, requires_grad=True)
    outputs = [run(rnn, x)[0] for _ in range(2)]
    (outputs[0].square().sum() + outputs[1].pow(3).sum()).backward()
    return [x.grad, *(p.grad for p in rnn.parameters()), rnn(x)[0]]


@pytest.mark.parametrize("where", [contextlib.nullcontext, reference])
@pytest.mark.parametrize(("kind", "options"), NOISY)
def test_gradients_are_right_where_a_pass_is_run_again(kind, options, where):
    def again(rnn, x):
        made = same_draws(nn.ModuleList([rnn]))
        return checkpoint(rnn, x, use_reentrant=False, context_fn=made)

    with where():
        plain = two_passes(kind, options, lambda rnn, x: rnn(x))
        for a, b in zip(two_passes(kind, options, again), plain, strict=True):
            torch.testing.assert_close(a, b)


@pytest.mark.parametrize("where", [contextlib.nullcontext, reference])
def test_without_that_the_gradients_would_be_wrong(where):
    def again(rnn, x):
        return checkpoint(rnn, x, use_reentrant=False)

    with where():
        plain = two_passes(*NOISY[0], lambda rnn, x: rnn(x))
        pairs = zip(two_passes(*NOISY[0], again), plain, strict=True)
        assert not all(torch.allclose(a, b) for a, b in pairs)
