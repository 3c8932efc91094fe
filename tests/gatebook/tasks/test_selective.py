"""Selective copying: tokens at random places, in their order."""

import pytest
import torch
from gatebook.tasks import Copy, SelectiveCopy, Task


def test_the_tokens_stand_in_their_order_among_blanks():
    task = SelectiveCopy(length=5, batch_size=40)
    x, target = task.batch(0)
    assert x.shape == (25, 40, 10) and target.shape == (10, 40)
    assert (x.sum(-1) == 1).all()
    symbols = x.argmax(-1)
    assert (symbols[15:] == 9).all() and (symbols[:15] != 9).all()
    for column, wanted in zip(symbols[:15].T, target.T, strict=True):
        assert torch.equal(column[column > 0], wanted)
    assert target.min() == 1 and target.max() == 8


def test_every_place_is_as_likely_as_any_other():
    x, _ = SelectiveCopy(length=10, batch_size=4000).batch(0)
    share = (x[:20].argmax(-1) > 0).float().mean(1)
    assert (share - 0.5).abs().max() < 0.04


def test_it_has_the_sizes_of_the_copying_task():
    ours, other = SelectiveCopy(7, batch_size=3), Copy(7, batch_size=3)
    for name in ("input_size", "output_size", "steps_read"):
        assert getattr(ours, name) == getattr(other, name)
    assert ours.batch(0)[0].shape == other.batch(0)[0].shape
    assert ours.baseline() == other.baseline()


def test_a_batch_is_decided_by_seed_and_step_alone():
    task = SelectiveCopy(5)
    first = task.batch(3)
    torch.rand(7)
    assert all(map(torch.equal, first, task.batch(3)))
    assert not torch.equal(first[0], task.batch(4)[0])
    assert not torch.equal(first[0], SelectiveCopy(5, seed=1).batch(3)[0])
    assert not torch.equal(task.validation()[0][1][:, :32], first[1])
    assert isinstance(task, Task)


def test_the_accuracy_counts_tokens():
    task = SelectiveCopy(4, batch_size=6)
    _, target = task.batch(0)
    answer = torch.nn.functional.one_hot(target, 9).float()
    assert task.scores(answer, target)["accuracy"] == 1.0
    answer[0] = 0.0  # the blank
    assert task.scores(answer, target)["accuracy"] == pytest.approx(0.9)


BAD = [
    ({"length": 0}, "length is 0; allowed: an integer >= 1"),
    ({"length": -2}, "length is -2"),
    ({"batch_size": 0}, "batch_size is 0"),
    ({"validation_size": True}, "validation_size is True"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_value_that_makes_no_task_is_refused_at_once(options, message):
    with pytest.raises(ValueError) as error:
        SelectiveCopy(**{"length": 5} | options)
    assert str(error.value).startswith(message)
