"""Snapshots of gates while a model trains."""

import pytest
import torch
from gatebook import LSTM, record
from gatebook.inside import Snapshots
from gatebook.tasks import Copy
from gatebook.training import Plan, build, fit

TASK = Copy(2, batch_size=4, validation_size=4)
PLAN = Plan(4, learning_rate=0.1, evaluate_every=2)


def model(seed=0):
    return build(TASK, LSTM, 3, seed, gate="UR")


def watched(steps, **options):
    own = model()
    x, _ = TASK.batch(7)
    seen = Snapshots(own, x, steps, **options)
    fit(own, TASK, PLAN, watch=seen)
    return own, x, seen


def test_the_first_is_before_training_and_the_last_of_the_trained_model():
    trained, x, seen = watched([0, 4])
    assert list(seen.gates) == list(seen.outputs) == [0, 4]
    for step, own in ((0, model()), (4, trained)):
        with record(own) as gates, torch.no_grad():
            output = own.eval()(x)
        assert torch.equal(seen.gates[step], gates["l0"]["effective_forget"])
        assert torch.equal(seen.outputs[step], output)
    assert not torch.equal(seen.gates[0], seen.gates[4])


def test_training_goes_as_without():
    trained, _, seen = watched([2], gate="refine")
    alone = model()
    fit(alone, TASK, PLAN)
    assert list(seen.gates) == [2] and trained.training
    for a, b in zip(trained.parameters(), alone.parameters(), strict=True):
        assert torch.equal(a, b)


def test_a_resumed_run_is_watched_from_there(tmp_path):
    file = tmp_path / "run.safetensors"
    own = model()
    calls = []

    def stop(step):
        calls.append(step)
        if step == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(own, TASK, PLAN, checkpoint=file, watch=stop, checkpoint_seconds=0)
    assert calls == [0, 2]
    fit(own, TASK, PLAN, checkpoint=file, watch=calls.append)
    assert calls == [0, 2, 2, 4]


def test_what_is_not_there_is_refused():
    with pytest.raises(ValueError, match="^steps is -1; allowed: an integer >= 0"):
        Snapshots(model(), TASK.batch(0)[0], [0, -1])
    for options in ({"gate": "forgetful"}, {"layer": "l1"}):
        with pytest.raises(ValueError, match="unknown (gate|layer) "):
            watched([0], **options)
