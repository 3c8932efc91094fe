"""Multi-query associative recall."""

import math

import pytest
import torch
from gatebook.tasks import Recall, Task
from gatebook.tasks.recall import NOTHING


def test_each_key_is_asked_for_once_and_the_target_is_its_value():
    task = Recall(pairs=3, length=14, vocabulary_size=10, batch_size=50)
    x, target = task.batch(0)
    assert x.shape == (14, 50, 10) and target.shape == (8, 50)
    assert (x.sum(-1) == 1).all()
    symbols = x.argmax(-1)
    for row, wanted in zip(symbols.T, target.T, strict=True):
        keys, values = row[:6:2].tolist(), row[1:6:2].tolist()
        assert max(keys) < 5 <= min(values)
        assert len(set(keys)) == len(set(values)) == 3
        value_of = dict(zip(keys, values, strict=True))
        asked = wanted != NOTHING
        assert asked.sum() == 3
        places = zip(row[6:][asked].tolist(), wanted[asked].tolist(), strict=True)
        assert dict(places) == value_of


def test_queries_come_at_every_step_and_other_symbols_between():
    task = Recall(pairs=4, length=24, batch_size=3000)
    x, target = task.batch(0)
    share = (target != NOTHING).float().mean(1)
    assert (share - 4 / 16).abs().max() < 0.05
    rest = x.argmax(-1)[8:][target == NOTHING]
    assert set(rest.tolist()) == set(range(64))


def test_the_shortest_sequence_asks_at_every_step():
    x, target = Recall(pairs=2, length=6, vocabulary_size=4, batch_size=5).batch(0)
    assert x.shape == (6, 5, 4) and (target != NOTHING).sum() == 10


def test_a_model_that_knows_the_values_alone_has_the_baselines_loss():
    task = Recall(batch_size=200)
    _, target = task.batch(0)
    guess = torch.full((*target.shape, 64), -1e9)
    guess[..., 32:] = 0.0
    assert task.loss(guess, target).item() == pytest.approx(math.log(32), rel=1e-5)
    assert task.baseline() == math.log(32)


def test_steps_that_ask_nothing_do_not_count():
    task = Recall(pairs=2, length=9, vocabulary_size=6, batch_size=8)
    _, target = task.batch(0)
    answer = torch.nn.functional.one_hot(target.clamp(min=0), 6).float() * 50
    answer[target == NOTHING] = torch.randn(6)
    assert task.scores(answer, target)["accuracy"] == 1.0
    assert task.scores(answer, target)["loss"] < 1e-6


def test_a_batch_is_decided_by_seed_and_step_alone():
    task = Recall()
    assert all(map(torch.equal, task.batch(3), task.batch(3)))
    assert not torch.equal(task.batch(3)[0], task.batch(4)[0])
    assert not torch.equal(task.batch(3)[0], Recall(seed=1).batch(3)[0])
    assert not torch.equal(task.validation()[0][0][:, :32], task.batch(0)[0])
    assert isinstance(task, Task)


BAD = [
    ({"pairs": 0}, "pairs is 0; allowed: an integer >= 1"),
    ({"pairs": 5, "length": 14}, "length is 14; allowed: an integer >= 15"),
    ({"vocabulary_size": 15}, "vocabulary_size is 15; allowed: an integer >= 16"),
    ({"vocabulary_size": 17}, "vocabulary_size is 17; allowed: an even number"),
    ({"batch_size": -1}, "batch_size is -1"),
    ({"validation_size": 0}, "validation_size is 0"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_value_that_makes_no_task_is_refused_at_once(options, message):
    with pytest.raises(ValueError) as error:
        Recall(**options)
    assert str(error.value).startswith(message)
