"""Features and the task with labels."""

import dataclasses

import numpy as np
import pytest
import torch
from gatebook.match import FEATURES, Episodes, Labelled, Match, encode
from gatebook.match.world import AGENT, FIRST, PALETTE
from gatebook.tasks import Task


def test_features_are_pixels_the_last_action_and_the_last_reward():
    episodes = Episodes(Match(apple=1.0), 3, 0)
    first = encode(episodes)
    assert first.shape == (3, FEATURES) and first.dtype == torch.float32
    assert first[:, 75:].count_nonzero() == 0
    pixels = torch.from_numpy(episodes.pixels()).flatten(1)
    torch.testing.assert_close(first[:, :75], pixels / 127.5 - 1)
    episodes.step(np.array([3, 0, 2]))
    episodes.last_reward[:] = 10
    later = encode(episodes)
    assert later[:, 75:79].argmax(1).tolist() == [3, 0, 2]
    assert (later[:, 75:79].sum(1) == 1).all() and (later[:, 79] == 1).all()


def colour_of(pixels):
    """The codes of pixels in [-1, 1], as (…, 25) integers."""
    palette = torch.from_numpy(PALETTE) / 127.5 - 1
    near = (pixels.unflatten(-1, (25, 1, 3)) - palette).square().sum(-1)
    return near.argmin(-1)


def test_the_label_is_the_switch_of_the_cues_colour():
    match = Match(explore=2, delay=3)
    x, target = Labelled(match, batch_size=50).batch(0)
    assert x.shape == (6, 50, FEATURES) and target.shape == (1, 50)
    codes = colour_of(x[..., :75])
    cue = codes[0, :, 6]  # a neighbour of the agent
    switches = codes[-1][:, [2, 10, 14, 22]]  # north, west, east, south
    assert (codes[:, :, 12] == AGENT).all() and (cue >= FIRST).all()
    assert torch.equal(switches.gather(1, target[0][:, None])[:, 0], cue)


def test_a_batch_is_decided_by_seed_and_step_alone():
    match = Match(delay=2)
    one, same, next_, other = (
        Labelled(match, 8, seed).batch(step)[0]
        for seed, step in ((0, 0), (0, 0), (0, 1), (1, 0))
    )
    assert torch.equal(one, same)
    assert not torch.equal(one, next_) and not torch.equal(one, other)


def test_scores_and_what_they_are_read_against():
    task = Labelled(Match("active", explore=15), batch_size=2)
    right = torch.tensor([[[0.0, 9, 0, 0], [9, 0, 0, 0]]])
    scores = task.scores(right, torch.tensor([[1, 2]]))
    assert scores["accuracy"] == 0.5
    assert task.baseline() == pytest.approx(np.log(4))
    # The share that sees the cue, and a quarter of the others.
    assert task.best_accuracy() == pytest.approx(0.528 + 0.472 / 4, abs=2e-3)
    assert Labelled(Match()).best_accuracy() == 1
    assert isinstance(task, Task)
    other = dataclasses.replace(task, match=Match("active", explore=14))
    assert other.describe() != task.describe()


def test_sizes_that_make_no_batch_are_refused():
    with pytest.raises(ValueError, match="batch_size is 0"):
        Labelled(Match(), batch_size=0)
    with pytest.raises(ValueError, match="validation_size is 0"):
        Labelled(Match(), validation_size=0)
