"""Parity at every step, and on longer sequences."""

import math

import pytest
import torch
from gatebook import LSTM
from gatebook.tasks import Parity, Task
from gatebook.training import Plan, build, fit


def test_the_target_is_the_parity_of_the_bits_so_far():
    task = Parity(length=6, longer=9, batch_size=70)
    x, target = task.batch(0)
    assert x.shape == (6, 70, 2) and target.shape == (6, 70)
    assert (x.sum(-1) == 1).all()
    odd = torch.zeros(70, dtype=torch.long)
    for bits, wanted in zip(x[..., 1].long(), target, strict=True):
        odd = odd ^ bits
        assert torch.equal(odd, wanted)


def test_longer_sequences_are_read_at_their_last_steps():
    task = Parity(length=4, longer=11, validation_size=20)
    ((x, target),) = task.further_validation()["longer"]
    assert x.shape == (11, 20, 2) and target.shape == (4, 20)
    assert torch.equal(target[-1], x[..., 1].sum(0).long() % 2)
    assert task.validation()[0][0].shape == (4, 20, 2)


def test_the_accuracy_is_that_of_the_last_step():
    task = Parity(length=3, longer=3, batch_size=8)
    _, target = task.batch(0)
    answer = torch.nn.functional.one_hot(1 - target, 2).float()
    answer[-1] = 1 - answer[-1]
    assert task.scores(answer, target)["accuracy"] == 1.0
    coin = torch.zeros(3, 8, 2)
    assert task.loss(coin, target).item() == pytest.approx(math.log(2))
    assert task.baseline() == math.log(2)


def test_a_run_has_scores_on_both_lengths():
    task = Parity(length=3, longer=7, batch_size=4, validation_size=8)
    model = build(task, LSTM, 4, seed=0)
    history = fit(model, task, Plan(2, evaluate_every=1))
    assert {"accuracy", "longer_accuracy"} <= history.curves.keys()


def test_a_batch_is_decided_by_seed_and_step_alone():
    task = Parity(9, 9)
    assert all(map(torch.equal, task.batch(3), task.batch(3)))
    assert not torch.equal(task.batch(3)[0], task.batch(4)[0])
    assert not torch.equal(task.batch(3)[0], Parity(9, 9, seed=1).batch(3)[0])
    assert isinstance(task, Task)


BAD = [
    ({"length": 0}, "length is 0; allowed: an integer >= 1"),
    ({"longer": 4}, "longer is 4; allowed: an integer >= 5"),
    ({"batch_size": 0}, "batch_size is 0"),
    ({"validation_size": 0}, "validation_size is 0"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_value_that_makes_no_task_is_refused_at_once(options, message):
    with pytest.raises(ValueError) as error:
        Parity(**{"length": 5, "longer": 5} | options)
    assert str(error.value).startswith(message)
