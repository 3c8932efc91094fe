"""Streams: stable, separate, and able to go on where they stopped."""

import contextlib
import copy

import numpy as np
import pytest
import torch
from gatebook import GRU, LSTM, reference, reseed
from gatebook.random import Streams, derive_seed, dropped, generator, same_draws
from torch import nn
from torch.utils.checkpoint import checkpoint


def test_a_seed_is_the_same_everywhere():
    # A change here would change every stored result.
    assert derive_seed("copy", 0, "train", 7) == 4338402769762837560


def test_parts_are_kept_apart():
    assert derive_seed("ab", "c") != derive_seed("a", "bc")
    assert derive_seed(1) != derive_seed("1")


def test_a_number_of_numpy_is_the_same_seed():
    assert derive_seed("task", np.int64(3)) == derive_seed("task", 3)
    assert derive_seed("task", True) != derive_seed("task", 1)


def test_dropout_of_everything_has_a_gradient():
    x = torch.ones(4, requires_grad=True)
    dropped(x, 1.0, generator(0)).sum().backward()
    assert x.grad.tolist() == [0.0] * 4


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


# -- streams that differ, and streams that are equal ------------------------------


def noisy(**options):
    return LSTM(2, 8, gate="G2", **options)


x = torch.ones(4, 3, 2)


def test_ranks_differ_by_the_usual_idiom():
    outs = []
    for rank in range(2):
        torch.manual_seed(0)
        model = noisy()  # equal weights on both
        torch.manual_seed(rank)
        outs.append(model(x)[0])
    assert not torch.equal(*outs)


def test_one_manual_seed_repeats_building_and_running():
    outs = []
    for _ in range(2):
        torch.manual_seed(3)
        model = noisy()
        outs.append(torch.stack([model(x)[0], model(x)[0]]))
    assert torch.equal(*outs)


@pytest.mark.parametrize("options", [{}, {"gate": "UR", "num_layers": 2}])
def test_a_model_without_randomness_asks_for_none(options):
    model = LSTM(2, 8, **options)
    before = torch.get_rng_state()
    model(x)
    assert torch.equal(torch.get_rng_state(), before)


def test_copies_draw_different_numbers_once_reseeded():
    whole = nn.ModuleList([noisy(seed=0), nn.Linear(2, 2)])
    members = [copy.deepcopy(whole) for _ in range(3)]
    same = [m[0](x)[0] for m in copy.deepcopy(members)]
    assert torch.equal(same[0], same[1])
    for k, member in enumerate(members[:2]):
        reseed(member, "member", k)
    first, second, plain = (m[0](x)[0] for m in members)
    assert not torch.equal(first, second) and not torch.equal(first, plain)
    again = copy.deepcopy(whole)
    reseed(again, "member", 1)
    assert torch.equal(again[0](x)[0], second)


@pytest.mark.parametrize(
    "call", [lambda: reseed(noisy()), lambda: reseed(nn.Tanh(), 1)]
)
def test_nothing_to_reseed_is_reported(call):
    with pytest.raises(ValueError, match="parts is .* allowed: at least one part"):
        call()


def test_a_stream_that_begins_after_a_resume_is_the_same():
    torch.manual_seed(0)
    streams, later = Streams(), Streams()
    draw(streams, "noise")
    state = streams.state()
    torch.manual_seed(99)
    later.load_state(state)
    assert torch.equal(draw(streams, "detach"), draw(later, "detach"))


def test_a_seed_is_drawn_inside_a_transform_too():
    streams = Streams()
    found = torch.func.vmap(lambda v: v * (streams.seed > 0))(torch.ones(2))
    assert torch.equal(found, torch.ones(2))


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
def test_without_that_other_numbers_are_refused(where):
    def again(rnn, x):
        return checkpoint(rnn, x, use_reentrant=False)

    with where(), pytest.raises(RuntimeError, match="same_draws"):
        two_passes(*NOISY[0], again)
