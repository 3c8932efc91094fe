"""The adding task: two marks, one in each half."""

import pytest
import torch
from gatebook.tasks import Adding


@pytest.mark.parametrize("length", [2, 3, 7, 50])
def test_one_mark_in_each_half_and_their_sum(length):
    x, target = Adding(length, batch_size=400).batch(0)
    numbers, marks = x.unbind(-1)
    half = length // 2
    assert (marks[:half].sum(0) == 1).all() and (marks[half:].sum(0) == 1).all()
    torch.testing.assert_close(target[0], (numbers * marks).sum(0))
    assert numbers.min() >= 0 and numbers.max() <= 1
    used = marks.sum(1) > 0
    assert used.all()  # every place can be marked, the last of the first half too


def test_always_answering_one_has_the_baselines_error():
    task = Adding(20, batch_size=20_000)
    _, target = task.batch(0)
    error = task.loss(torch.ones(1, 20_000, 1), target).item()
    assert error == pytest.approx(task.baseline(), rel=0.03)


def test_a_batch_is_decided_by_seed_and_step_alone():
    assert all(map(torch.equal, Adding(9).batch(1), Adding(9).batch(1)))
    assert not torch.equal(Adding(9).batch(1)[0], Adding(9).batch(2)[0])
    assert not torch.equal(Adding(9).batch(1)[0], Adding(9, seed=1).batch(1)[0])


BAD = [
    ({"length": 1}, "length is 1; allowed: an integer >= 2"),
    ({"length": -3}, "length is -3"),
    ({"batch_size": 0}, "batch_size is 0; allowed: an integer >= 1"),
    ({"batch_size": True}, "batch_size is True"),
    ({"validation_size": 0}, "validation_size is 0"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_value_that_makes_no_task_is_refused_at_once(options, message):
    with pytest.raises(ValueError) as error:
        Adding(**{"length": 5} | options)
    assert str(error.value).startswith(message)


def test_the_least_task_there_is_marks_both_of_its_numbers():
    x, target = Adding(2, batch_size=1).batch(0)
    assert x.shape == (2, 1, 2) and target.shape == (1, 1)
    assert (x[..., 1] == 1).all() and target == x[..., 0].sum()
