"""Training: it learns, it diverges honestly, and it resumes to the same numbers."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from gatebook import GRU, LSTM, Gate
from gatebook.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from gatebook.gates import Constant, Gumbel, HDetach
from gatebook.tasks import Adding, Copy
from gatebook.train import Plan, build, evaluate, fit, show_progress

TASK = Adding(8, batch_size=16, validation_size=40)
PLAN = Plan(20, learning_rate=1e-2, evaluate_every=5)


def noisy_model():
    """A model in which everything that can be random is."""
    gate = Gate(Constant(0.0), noise=Gumbel(0.7, 0.5), gradient=HDetach(0.3))
    return build(
        TASK, LSTM, 8, 0, gate=gate, num_layers=2, dropout=0.2, zoneout=(0.3, 0.1)
    )


def fingerprint(model, history):
    total = {k: v.double().sum().item() for k, v in model.state_dict().items()}
    return {"weights": total, "curves": history.curves}


def plain(value):
    """NaN is not equal to itself; its text is."""
    return json.dumps(value)


# -- learning ----------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_model_learns(kind):
    task = Copy(1, batch_size=32)
    history = fit(build(task, kind, 32, 0), task, Plan(150, 1e-2, evaluate_every=50))
    assert history.curves["step"] == [0, 50, 100, 150]
    assert history.status == "finished" and history.step == 150
    assert history.last("loss") < 0.8 * task.baseline()
    assert history.best("accuracy") == max(history.curves["accuracy"])


def test_equal_seeds_give_equal_models_and_leave_the_default_generator_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    a, b = (build(TASK, LSTM, 4, 5) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert all(map(torch.equal, a.state_dict().values(), b.state_dict().values()))
    other = build(TASK, LSTM, 4, 6).state_dict().values()
    assert not all(map(torch.equal, a.state_dict().values(), other))


def test_evaluation_leaves_no_trace_and_weighs_batches_by_size():
    model = noisy_model()
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    whole = evaluate(model, TASK, TASK.validation())
    assert model.training and torch.equal(torch.rand(1), expected)
    x, y = TASK.validation()[0]
    parts = [(x[:, :30], y[:, :30]), (x[:, 30:], y[:, 30:])]
    assert evaluate(model, TASK, parts)["loss"] == pytest.approx(whole["loss"])


def test_a_head_of_two_layers_reads_the_last_steps():
    model = build(Copy(2), LSTM, 4, 0, head_size=7, bidirectional=True)
    assert [m.out_features for m in model.head if hasattr(m, "out_features")] == [7, 9]
    assert model(torch.zeros(22, 3, 10)).shape == (10, 3, 9)


def test_clipping_bounds_the_step():
    class Loud(Adding):
        def loss(self, prediction, target):
            return 1e6 * super().loss(prediction, target)

    task = Loud(8, batch_size=4)
    model = build(task, LSTM, 4, 0)
    fit(model, task, Plan(1, clip=0.5))
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert norm.item() == pytest.approx(0.5, rel=1e-3)
    fit(model, task, Plan(1, clip=None))
    norm = torch.cat([p.grad.flatten() for p in model.parameters()]).norm()
    assert norm > 1e3


def test_annealing_switches_detaching_off_for_the_last_share_only():
    seen = []

    class Spy(Adding):
        def batch(self, step):
            seen.append(model.rnn.gate.gradient.p)
            return super().batch(step)

    task = Spy(4, batch_size=2)
    model = build(task, LSTM, 4, 0, h_detach=0.5)
    fit(model, task, Plan(10, anneal=0.3))
    assert seen == [0.5] * 7 + [0.0] * 3


# -- divergence --------------------------------------------------------------------


def test_a_loss_that_is_not_finite_ends_the_run_and_is_counted():
    class Broken(Adding):
        def loss(self, prediction, target):
            loss = super().loss(prediction, target)
            return loss * float("nan") if torch.is_grad_enabled() else loss

    task = Broken(4, batch_size=2)
    history = fit(build(task, LSTM, 4, 0), task, Plan(10))
    assert (history.status, history.diverged_at, history.step) == ("diverged", 1, 1)


def test_a_gradient_that_is_not_finite_does_not_reach_the_weights():
    class Steep(Adding):
        def loss(self, prediction, target):
            loss = super().loss(prediction, target)
            return loss + (prediction * 0).sum().abs().sqrt()  # 0 with slope NaN

    task = Steep(4, batch_size=2)
    model = build(task, LSTM, 4, 0)
    history = fit(model, task, Plan(10))
    assert history.status == "diverged"
    assert all(p.isfinite().all() for p in model.parameters())


# -- progress ----------------------------------------------------------------------


def test_progress_tells_step_time_and_scores(capsys, monkeypatch, tmp_path):
    monkeypatch.delenv("GATEBOOK_PROGRESS", raising=False)
    lines = []
    fit(build(TASK, LSTM, 4, 0), TASK, PLAN, report=lines.append)
    assert len(lines) == 4
    assert lines[1].startswith("step 10/20 · ") and "loss" in lines[1]
    show_progress("to the terminal")
    assert capsys.readouterr().err == "to the terminal\n"
    monkeypatch.setenv("GATEBOOK_PROGRESS", str(tmp_path / "file"))
    show_progress("to the runner")
    assert capsys.readouterr() == ("", "")
    assert (tmp_path / "file").read_text() == "to the runner\n"


# -- resume ------------------------------------------------------------------------

SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_train import PLAN, TASK, fingerprint, fit, noisy_model, plain
from dataclasses import replace
import time, torch
torch.set_num_threads(1)
torch.manual_seed(11)
model = noisy_model()
batch = type(TASK).batch
def slow(self, step):
    time.sleep(0.02)
    print(step, flush=True)
    return batch(self, step)
type(TASK).batch = slow
history = fit(model, TASK, PLAN, checkpoint=Path(sys.argv[2]), checkpoint_seconds=0.0)
Path(sys.argv[3]).write_text(plain(fingerprint(model, history)))
"""


def start(tmp_path):
    words = [str(Path(__file__).parent), tmp_path / "c.safetensors", tmp_path / "end"]
    return subprocess.Popen(
        [sys.executable, "-c", SCRIPT, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


def uninterrupted():
    torch.manual_seed(11)
    model = noisy_model()
    return plain(fingerprint(model, fit(model, TASK, PLAN)))


def killed_and_resumed(tmp_path, at_step, by, delay=0.0):
    process = start(tmp_path)
    for line in process.stdout:
        if int(line) == at_step:
            time.sleep(delay)
            process.send_signal(by)
            break
    process.communicate(timeout=60)
    assert process.returncode != 0
    again = start(tmp_path)
    out, error = again.communicate(timeout=60)
    assert again.returncode == 0, error
    steps = [int(line) for line in out.splitlines()]
    return steps, (tmp_path / "end").read_text()


@pytest.mark.parametrize(
    ("at_step", "by"),
    [(7, signal.SIGKILL), (13, signal.SIGINT)],
    ids=["kill", "ctrl-c"],
)
def test_a_stopped_run_ends_with_the_same_numbers(tmp_path, at_step, by):
    steps, end = killed_and_resumed(tmp_path, at_step, by)
    assert steps[0] >= at_step - 1, "it began anew"
    assert end == uninterrupted()


@pytest.mark.slow
def test_twenty_kills_at_random_moments(tmp_path):
    dice = random.Random(0)
    expected = uninterrupted()
    for k in range(20):
        folder = tmp_path / str(k)
        folder.mkdir()
        moment = dice.randrange(1, 19), dice.random() * 0.03
        _, end = killed_and_resumed(folder, moment[0], signal.SIGKILL, moment[1])
        assert end == expected, moment


def stored(tmp_path):
    model = noisy_model()
    path = tmp_path / "c.safetensors"
    fit(model, TASK, PLAN)
    optimizer = torch.optim.Adam(model.parameters())
    save_checkpoint(path, model, optimizer, {"step": 3})
    return path, model, optimizer


def test_another_plan_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    fit(build(TASK, LSTM, 4, 0), TASK, PLAN)

    def stop(line):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(build(TASK, LSTM, 4, 0), TASK, PLAN, checkpoint=path, report=stop)
    other = replace(PLAN, learning_rate=0.5)
    with pytest.raises(ValueError, match=r"learning_rate is 0.5.*made with 0.01"):
        fit(build(TASK, LSTM, 4, 0), TASK, other, checkpoint=path)


def test_a_checkpoint_cut_short_is_told_plainly(tmp_path):
    path, model, optimizer = stored(tmp_path)
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"x" * 100):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="delete it to start anew") as error:
            load_checkpoint(path, model, optimizer)
        assert str(path) in str(error.value)


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    path, _, _ = stored(tmp_path)
    other = build(TASK, LSTM, 5, 0)
    with pytest.raises(CheckpointError, match="cannot be used"):
        load_checkpoint(path, other, torch.optim.Adam(other.parameters()))
