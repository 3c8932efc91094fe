"""Streams: stable, separate, and able to go on where they stopped."""

import copy

import torch
from gatebook.random import Streams, derive_seed, generator


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
