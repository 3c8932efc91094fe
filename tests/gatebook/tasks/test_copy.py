"""The copying task in both papers' forms."""

import math

import pytest
import torch
from gatebook.random import generator
from gatebook.tasks import Copy, copy


def test_p2s_form_written_out():
    task = Copy(length=3, batch_size=2)
    x, target = task.batch(0)
    assert x.shape == (23, 2, 10) and target.shape == (10, 2)
    assert (x.sum(-1) == 1).all()
    symbols = x.argmax(-1)
    assert torch.equal(symbols[:10], target)
    assert (symbols[10:13] == 0).all() and (symbols[13:] == 9).all()
    assert target.min() >= 1 and target.max() <= 8
    assert task.steps_read == 10


def test_p3s_form_written_out():
    task = Copy(length=3, batch_size=2, form="scalar")
    x, target = task.batch(0)
    assert x.shape == (23, 2, 1) and target.shape == (23, 2)
    assert (x[10:12] == 0).all() and (x[12] == 9).all() and (x[13:] == 0).all()
    assert (target[:13] == 0).all()
    assert torch.equal(target[13:], x[:10, :, 0].long())
    assert task.steps_read == 23


def test_eight_symbols_as_the_published_code_has_it():
    _, target = Copy(length=1, batch_size=2000).batch(0)
    counts = torch.bincount(target.flatten(), minlength=10)
    assert counts[0] == counts[9] == 0
    assert (counts[1:9] - 2500).abs().max() < 250


def test_a_batch_is_decided_by_seed_and_step_alone():
    first = Copy(5).batch(3)
    torch.rand(7)
    assert all(map(torch.equal, first, Copy(5).batch(3)))
    assert not torch.equal(first[1], Copy(5).batch(4)[1])
    assert not torch.equal(first[1], Copy(5, seed=1).batch(3)[1])


def test_validation_is_fixed_and_apart_from_training():
    task = Copy(5, validation_size=300)
    parts = task.validation()
    assert [p[1].shape[1] for p in parts] == [256, 44]
    assert all(map(torch.equal, parts[0], task.validation()[0]))
    assert not torch.equal(parts[0][1][:, :32], task.batch(0)[1])


def test_a_pool_is_drawn_from_with_replacement():
    task = Copy(2, batch_size=50, pool=3)
    seen = {tuple(t.tolist()) for step in range(4) for t in task.batch(step)[1].T}
    assert len(seen) == 3


def test_the_uniform_guess_has_the_baselines_loss():
    task = Copy(4, batch_size=500)
    _, target = task.batch(0)
    guess = torch.zeros(10, 500, 9)
    guess[..., 0] = -1e9
    assert math.isclose(task.loss(guess, target).item(), task.baseline(), rel_tol=1e-5)
    scalar = Copy(4, batch_size=500, form="scalar")
    _, target = scalar.batch(0)
    whole = torch.full((24, 500, 9), -1e9)
    whole[:14, :, 0], whole[14:, :, 1:] = 0.0, 0.0
    loss = scalar.loss(whole, target).item()
    assert math.isclose(loss, scalar.baseline(), rel_tol=1e-5)


def test_accuracy_counts_the_ten_tokens_only():
    task = Copy(4, batch_size=5, form="scalar")
    _, target = task.batch(0)
    silent = torch.nn.functional.one_hot(torch.zeros_like(target), 9).float()
    assert task.scores(silent, target)["accuracy"] == 0.0
    right = torch.nn.functional.one_hot(target, 9).float()
    assert task.scores(right, target)["accuracy"] == 1.0


BAD = [
    ({"length": 0}, "length is 0; allowed: an integer >= 1"),
    ({"length": True}, "length is True"),
    ({"batch_size": 0}, "batch_size is 0"),
    ({"validation_size": -1}, "validation_size is -1"),
    ({"pool": 0}, "pool is 0"),
    ({"form": "Scalar"}, "unknown form 'Scalar'; did you mean 'scalar'?"),
    ({"form": ""}, "unknown form ''; allowed: 'one-hot', 'scalar'"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_value_that_makes_no_task_is_refused_at_once(options, message):
    with pytest.raises(ValueError) as error:
        Copy(**{"length": 5} | options)
    assert str(error.value).startswith(message)


def test_the_least_task_there_is():
    x, target = Copy(1, batch_size=1, pool=1, validation_size=1).batch(0)
    assert x.shape == (21, 1, 10) and target.shape == (10, 1)
    x, target = Copy(1, batch_size=1, form="scalar").batch(0)
    assert x.shape == target.shape + (1,) == (21, 1, 1)
    assert x[10] == 9 and not x[11:].any()  # the delimiter comes at once


def test_a_pool_is_made_once(monkeypatch):
    counts = []
    make = copy._tokens
    count = lambda *of: counts.append(of) or make(*of)  # noqa: E731
    monkeypatch.setattr(copy, "_tokens", count)
    task = Copy(2, batch_size=5, pool=17, seed=23)
    _, target = task.batch(3)
    task.batch(4)
    assert len(counts) == 1
    g = generator(23, "copy", "choice", 3)
    chosen = torch.randint(17, (5,), generator=g)
    assert torch.equal(target, make(17, 23, "pool")[:, chosen])
