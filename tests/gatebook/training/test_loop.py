"""Training: it learns, it diverges honestly, and it resumes to the same numbers."""

import collections
import hashlib
import itertools
import json
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from unittest import mock

import pytest
import torch
from gatebook import GRU, LSTM, Gate
from gatebook.gates import Constant, Gumbel, HDetach
from gatebook.memory import DNC
from gatebook.modern import SLSTM
from gatebook.tasks import Adding, Copy
from gatebook.training import (
    History,
    Job,
    Plan,
    SequenceModel,
    Until,
    build,
    evaluate,
    fit,
    fit_together,
    loop,
)
from torch import nn

TASK = Adding(8, batch_size=16, validation_size=40)
PLAN = Plan(20, learning_rate=1e-2, evaluate_every=5)


def noisy_model():
    """A model in which everything that can be random is."""
    gate = Gate(Constant(0.0), noise=Gumbel(0.7, 0.5), gradient=HDetach(0.3))
    return build(
        TASK, LSTM, 8, 0, gate=gate, num_layers=2, dropout=0.2, zoneout=(0.3, 0.1)
    )


def fingerprint(model, history):
    """Weights, curves and where each random stream is, bit for bit."""
    tensors = model.state_dict() | {"torch": torch.get_rng_state()}
    tensors |= {f"stream.{k}": v for k, v in model.rnn.streams.state().items()}
    sums = {
        name: hashlib.sha256(value.contiguous().view(-1).numpy().tobytes()).hexdigest()
        for name, value in sorted(tensors.items())
    }
    return {"sums": sums, "curves": history.curves}


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


def test_evaluation_leaves_every_module_in_its_mode_after_an_error_too():
    model = noisy_model()
    model.head.eval()  # frozen by the user
    evaluate(model, TASK, TASK.validation())
    with pytest.raises(ValueError, match="input_size 2"):
        evaluate(model, TASK, Copy(3, batch_size=2).validation())
    assert model.training and model.rnn.training and not model.head.training
    fit(model, TASK, Plan(1))
    assert model.rnn.training and not model.head.training


def test_a_head_of_two_layers_reads_the_last_steps():
    model = build(Copy(2), LSTM, 4, 0, head_size=7, bidirectional=True)
    assert [m.out_features for m in model.head if hasattr(m, "out_features")] == [7, 9]
    assert model(torch.zeros(22, 3, 10)).shape == (10, 3, 9)
    deep = build(Copy(2), LSTM, 4, 0, head_size=7, head_layers=3)
    assert [len(p) for p in deep.head.parameters()] == [7, 7, 7, 7, 7, 7, 9, 9]


@pytest.mark.parametrize(
    ("first", "options", "message"),
    [
        (True, {}, "batch_first of rnn is True; allowed: False"),
        (False, {"steps_read": 0}, "steps_read is 0; allowed: an integer >= 1"),
        (False, {"head_size": -1}, "head_size is -1; allowed: an integer >= 0"),
        (False, {"head_layers": 0}, "head_layers is 0; allowed: an integer >= 1"),
    ],
)
@pytest.mark.parametrize("kind", [LSTM, nn.GRU])
def test_a_head_that_reads_something_else_is_refused(kind, first, options, message):
    with pytest.raises(ValueError, match=message):
        SequenceModel(kind(2, 4, batch_first=first), 3, **{"steps_read": 1} | options)


def test_a_sequence_shorter_than_what_is_read_is_refused():
    model = SequenceModel(LSTM(2, 4), 3, steps_read=5)
    assert model(torch.zeros(5, 1, 2)).shape == (5, 1, 3)
    with pytest.raises(ValueError, match="steps_read is 5, but the sequence has 4"):
        model(torch.zeros(4, 1, 2))


@dataclass(frozen=True)
class TwoSets(Adding):
    """A task with a second validation set, of twice the numbers."""

    def further_validation(self):
        x, target = self.validation()[0]
        return {"double": [(x * 2, target * 2)]}


def test_a_second_validation_set_has_scores_of_its_own():
    task = TwoSets(6, batch_size=4, validation_size=8)
    model = build(task, LSTM, 4, 0)
    curves = fit(model, task, Plan(2, evaluate_every=1)).curves
    assert len(curves["loss"]) == len(curves["double_loss"]) == 3
    batches = task.further_validation()["double"]
    assert evaluate(model, task, batches)["loss"] == curves["double_loss"][-1]
    plain = Adding(6, batch_size=4, validation_size=8)
    alone = fit(build(plain, LSTM, 4, 0), plain, Plan(2, evaluate_every=1)).curves
    assert alone["loss"] == curves["loss"]


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


def test_a_model_detaches_as_before_when_the_run_is_over():
    model, plan = build(TASK, LSTM, 4, 0, h_detach=0.5), Plan(4, anneal=0.9)
    fit(model, TASK, plan)
    assert model.rnn.gate.gradient == HDetach(0.5)

    def stop(line):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fit(model, TASK, plan, report=stop)
    assert model.rnn.gate.gradient == HDetach(0.5)


def detached(model, plan):
    """The model's probability of detaching before each evaluation."""
    seen = []
    fit(model, TASK, plan, watch=lambda step: seen.append(model.rnn.gate.gradient.p))
    return seen


@pytest.mark.parametrize("kind", [DNC, SLSTM])
def test_other_cores_are_annealed_too(kind):
    options = {"rows": 3, "width": 2} if kind is DNC else {}
    gate = Gate(Constant(0.0), gradient=HDetach(0.5))
    model = build(TASK, kind, 4, 0, gate=gate, **options)
    assert detached(model, Plan(4, anneal=0.5, evaluate_every=1)) == [0.5] * 3 + [0] * 2
    assert model.rnn.gate.gradient == HDetach(0.5)


def test_two_models_that_share_a_weight_are_refused():
    model = build(TASK, LSTM, 4, 0)
    with pytest.raises(ValueError, match="weight in common"):
        fit_together([Job(model, TASK, PLAN), Job(model, TASK, PLAN)])


def test_checkpoints_are_as_far_apart_as_was_asked(tmp_path, monkeypatch):
    """Of a run that takes three times that long there are two or three, not twenty."""
    clock = itertools.count(step=1.0)
    monkeypatch.setattr(loop.time, "monotonic", lambda: next(clock))
    stored = []
    monkeypatch.setattr(loop._Training, "store", lambda run: stored.append(run))
    path = tmp_path / "c.safetensors"
    fit(build(TASK, LSTM, 4, 0), TASK, PLAN, checkpoint=path, checkpoint_seconds=10)
    assert 1 <= len(stored) <= 4


BAD = [
    ({"steps": 0}, "steps is 0; allowed: an integer >= 1"),
    ({"steps": True}, "steps is True"),
    ({"evaluate_every": 0}, "evaluate_every is 0"),
    ({"learning_rate": 0.0}, "learning_rate is 0.0; allowed: a finite number > 0"),
    ({"learning_rate": float("nan")}, "learning_rate is nan"),
    ({"learning_rate": float("inf")}, "learning_rate is inf"),
    ({"clip": 0.0}, "clip is 0.0"),
    ({"clip": float("inf")}, "clip is inf"),
    ({"anneal": -0.1}, "anneal is -0.1; allowed: a probability in [0, 1]"),
    ({"anneal": 1.5}, "anneal is 1.5"),
    ({"anneal": float("nan")}, "anneal is nan"),
]


@pytest.mark.parametrize(("options", "message"), BAD)
def test_a_plan_that_cannot_be_followed_is_refused_at_once(options, message):
    with pytest.raises(ValueError) as error:
        Plan(**{"steps": 5} | options)
    assert str(error.value).startswith(message)


# -- a plan with a goal ------------------------------------------------------------


def test_a_run_ends_at_the_first_evaluation_that_reaches_its_goal():
    task = Adding(4, batch_size=8)
    whole = fit(build(task, LSTM, 8, 0), task, Plan(60, 1e-2, evaluate_every=5))
    losses = whole.curves["loss"]
    goal = sorted(losses)[len(losses) // 2]
    until = Until(60, 1e-2, evaluate_every=5, goal=goal)
    history = fit(build(task, LSTM, 8, 0), task, until)
    end = next(i for i, loss in enumerate(losses) if loss <= goal) + 1
    assert 1 < end < len(losses)
    assert history.curves["loss"] == losses[:end]
    assert history.step == whole.curves["step"][end - 1]
    assert history.status == "finished"


def test_a_run_that_misses_its_goal_ends_with_the_plan():
    task = Adding(4, batch_size=2)
    history = fit(build(task, LSTM, 4, 0), task, Until(3, goal=1e-9))
    assert history.step == 3


def test_a_goal_is_positive_and_named():
    with pytest.raises(TypeError, match="goal"):
        Until(3)
    with pytest.raises(ValueError, match="goal is 0"):
        Until(3, goal=0.0)


# -- what the curves say -----------------------------------------------------------


def test_the_training_loss_is_the_mean_since_the_last_evaluation():
    class Noted(Adding):
        def loss(self, prediction, target):
            loss = super().loss(prediction, target)
            if torch.is_grad_enabled():
                losses.append(loss.item())
            return loss

    losses: list[float] = []
    task = Noted(8, batch_size=4)
    curves = fit(build(task, LSTM, 4, 0), task, Plan(7, 0.1, evaluate_every=3)).curves
    parts = (losses[:3], losses[3:6], losses[6:])  # the last part is cut short
    assert len(losses) == 7 and len(set(losses)) == 7
    assert curves["step"] == [0, 3, 6, 7]
    assert curves["train_loss"][1:] == pytest.approx([sum(p) / len(p) for p in parts])


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


def test_progress_shows_step_time_and_scores():
    lines = []
    fit(build(TASK, LSTM, 4, 0), TASK, PLAN, report=lines.append)
    assert len(lines) == 4
    assert lines[1].startswith("step 10/20 · ") and "loss" in lines[1]


# -- resume ------------------------------------------------------------------------

SCRIPT = """
import json, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from test_loop import PLAN, TASK, fingerprint, fit, noisy_model, plain
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
    process.communicate(timeout=200)
    assert process.returncode != 0
    again = start(tmp_path)
    out, error = again.communicate(timeout=200)
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


# -- Ctrl-C ------------------------------------------------------------------------


class CtrlC:
    """Hears what a run does and sends SIGINT at one of it, counted from 1."""

    def __init__(self, where="nowhere", call=0, times=1):
        self.where, self.call, self.times = where, call, times
        self.heard = collections.Counter()

    def __call__(self, where):
        self.heard[where] += 1
        if (where, self.heard[where]) == (self.where, self.call):
            for _ in range(self.times):
                signal.raise_signal(signal.SIGINT)


def everything_after(ctrl_c, path=None):
    """A run to its end: weights, optimiser, random streams, and the curves' text."""

    class Task(Adding):
        def batch(self, step):
            ctrl_c("batch")
            return super().batch(step)

        def loss(self, prediction, target):
            ctrl_c("loss" if torch.is_grad_enabled() else "evaluation")
            return super().loss(prediction, target)

    class Adam(torch.optim.Adam):
        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)
            self.register_step_post_hook(lambda *rest: ctrl_c("optimizer"))
            made.append(self)

    made, model = [], noisy_model()
    task = Task(TASK.length, TASK.batch_size, validation_size=TASK.validation_size)
    with mock.patch("torch.optim.Adam", Adam):
        history = fit(model, task, PLAN, checkpoint=path)
    state = {f"model.{k}": v for k, v in model.state_dict().items()}
    for index, entries in made[0].state_dict()["state"].items():
        state |= {f"optimizer.{index}.{k}": v for k, v in entries.items()}
    state |= {f"stream.{k}": v for k, v in model.rnn.streams.state().items()}
    state["rng"] = torch.get_rng_state()
    return {k: v.tolist() for k, v in state.items()}, plain(history.curves)


MOMENTS = [
    ("batch", 8, 8),
    ("loss", 8, 8),
    ("optimizer", 8, 8),
    ("evaluation", 1, 0),  # before the first step
    ("evaluation", 3, 10),
    ("evaluation", 5, 20),  # after the last
]


@pytest.mark.parametrize(("where", "call", "done"), MOMENTS)
def test_ctrl_c_at_any_moment_changes_no_number(tmp_path, where, call, done):
    torch.manual_seed(11)
    expected = everything_after(CtrlC())
    path, before = tmp_path / "c.safetensors", signal.getsignal(signal.SIGINT)
    torch.manual_seed(11)
    with pytest.raises(KeyboardInterrupt):
        everything_after(CtrlC(where, call), path)
    assert signal.getsignal(signal.SIGINT) is before
    torch.manual_seed(99)  # the stored state brings its own
    again = CtrlC()
    state, curves = everything_after(again, path)
    assert curves == expected[1]
    assert state == expected[0]
    assert again.heard["batch"] == PLAN.steps - done


def test_a_second_ctrl_c_stops_at_once(tmp_path):
    path, before = tmp_path / "c.safetensors", signal.getsignal(signal.SIGINT)
    ctrl_c = CtrlC("batch", 8, times=2)
    with pytest.raises(KeyboardInterrupt):
        everything_after(ctrl_c, path)
    assert ctrl_c.heard["batch"] == 8 and ctrl_c.heard["loss"] == 7
    assert not path.exists()  # a torn state is not stored
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_is_handled_as_before_after_an_error():
    class Broken(Adding):
        def batch(self, step):
            raise ZeroDivisionError

    before, task = signal.getsignal(signal.SIGINT), Broken(8)
    with pytest.raises(ZeroDivisionError):
        fit(build(task, LSTM, 4, 0), task, PLAN)
    assert signal.getsignal(signal.SIGINT) is before


def test_ctrl_c_stays_ignored_where_it_was():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        ctrl_c = CtrlC("batch", 8)
        everything_after(ctrl_c)
    finally:
        signal.signal(signal.SIGINT, before)
    assert ctrl_c.heard["batch"] == PLAN.steps


def test_a_run_in_another_thread_ends_with_the_same_numbers():
    with ThreadPoolExecutor(1) as pool:
        torch.manual_seed(11)
        there = pool.submit(everything_after, CtrlC()).result()
    torch.manual_seed(11)
    assert there == everything_after(CtrlC())


def test_a_run_that_diverges_as_it_is_stopped_stays_diverged(tmp_path):
    class Broken(Adding):
        def loss(self, prediction, target):
            loss = super().loss(prediction, target)
            if torch.is_grad_enabled():
                signal.raise_signal(signal.SIGINT)
                loss = loss * float("nan")
            return loss

    path, task = tmp_path / "c.safetensors", Broken(4, batch_size=2)
    with pytest.raises(KeyboardInterrupt):
        fit(build(task, LSTM, 4, 0), task, Plan(10), checkpoint=path)
    history = fit(build(task, LSTM, 4, 0), task, Plan(10), checkpoint=path)
    assert (history.status, history.diverged_at, history.step) == ("diverged", 1, 1)


# -- what a checkpoint holds -------------------------------------------------------


def stopped(path, plan=PLAN, **options):
    """Leaves the checkpoint of a run that was stopped after five steps; its model."""

    def stop(line):
        signal.raise_signal(signal.SIGINT)

    model = build(TASK, LSTM, 4, 0, **options)
    with pytest.raises(KeyboardInterrupt):
        fit(model, TASK, plan, checkpoint=path, report=stop)
    return model


def test_another_plan_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    stopped(path)
    other = replace(PLAN, learning_rate=0.5)
    with pytest.raises(ValueError, match=r"learning_rate is 0.5.*made with 0.01"):
        fit(build(TASK, LSTM, 4, 0), TASK, other, checkpoint=path)


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (replace(TASK, length=9), r"task\.length is 9,.*made with 8"),
        (replace(TASK, seed=7), r"task\.seed is 7,.*made with 0"),
        (Copy(8), r"task\.kind is 'Copy',.*made with 'Adding'"),
    ],
)
def test_another_task_is_refused(tmp_path, other, words):
    path = tmp_path / "c.safetensors"
    stopped(path)
    with pytest.raises(ValueError, match=words):
        fit(build(other, LSTM, 4, 0), other, PLAN, checkpoint=path)


def test_a_field_that_is_not_compared_makes_no_other_task(tmp_path):
    @dataclass(frozen=True)
    class Told(Adding):
        tell: object = field(default=print, compare=False)

    path, task, model = tmp_path / "c.safetensors", Told(8), build(TASK, LSTM, 4, 0)
    fit(model, task, Plan(2), checkpoint=path, checkpoint_seconds=0)
    assert fit(model, Told(8, tell=max), Plan(2), checkpoint=path).step == 2


OTHERS = [
    ({"gate": "U"}, "gate=Gate(activation=Uniform()"),
    ({"h_detach": 0.5}, "HDetach(p=0.5, per='step')"),
    ({"dropout": 0.5}, "dropout=0.5"),
    ({"zoneout": (0.5, 0.0)}, "zoneout=(0.5, 0.0)"),
]


@pytest.mark.filterwarnings("ignore:dropout is 0.5 and num_layers is 1")
@pytest.mark.parametrize(("options", "words"), OTHERS)
def test_another_model_of_equal_shapes_is_refused_and_left_alone(
    tmp_path, options, words
):
    path = tmp_path / "c.safetensors"
    stopped(path)
    other = build(TASK, LSTM, 4, 1, **options)
    before = {k: v.clone() for k, v in other.state_dict().items()}
    with pytest.raises(ValueError, match="model.rnn is LSTM.*was made with") as error:
        fit(other, TASK, PLAN, checkpoint=path)
    assert words in str(error.value).split("was made with")[0]
    assert all(map(torch.equal, before.values(), other.state_dict().values()))


@pytest.mark.parametrize("same", [False, True], ids=["new model", "same model"])
def test_a_run_goes_on_after_annealing_changed_its_gate(tmp_path, same):
    path, plan = tmp_path / "c.safetensors", replace(PLAN, anneal=0.9)
    model = stopped(path, plan, h_detach=0.5)
    model = model if same else build(TASK, LSTM, 4, 0, h_detach=0.5)
    history = fit(model, TASK, plan, checkpoint=path)
    straight = build(TASK, LSTM, 4, 0, h_detach=0.5)
    assert plain(history.curves) == plain(fit(straight, TASK, plan).curves)


# -- several models at once --------------------------------------------------------


def company(seeds=(0, 1, 2), **options):
    """Models that differ in seed, gate, learning rate and clipping."""
    gates, rates = ("UR", "G2", "LSTM"), (1e-2, 1e-3, 3e-2)
    made = []
    for seed, gate, rate, clip in zip(
        seeds, gates, rates, (1.0, 0.1, None), strict=True
    ):
        task = Adding(6, batch_size=4, seed=seed, validation_size=8)
        model = build(task, LSTM, 5, seed, gate=gate, h_detach=0.2, **options)
        made.append(Job(model, task, Plan(6, rate, clip, evaluate_every=2)))
    return made


@pytest.mark.parametrize("options", [{}, {"num_layers": 2, "dropout": 0.3}])
def test_models_trained_together_have_the_numbers_of_each_alone(options):
    together = fit_together(company(**options))
    alone = [fit(j.model, j.task, j.plan) for j in company(**options)]
    for a, b in zip(together, alone, strict=True):
        assert repr(a.curves) == repr(b.curves)  # repr: NaN is the same as NaN


def test_one_that_diverges_ends_and_the_others_go_on():
    class Broken(Adding):
        def loss(self, prediction, target):
            loss = super().loss(prediction, target)
            return loss * float("nan") if torch.is_grad_enabled() else loss

    jobs = company()
    jobs[1] = replace(jobs[1], task=Broken(6, batch_size=4, validation_size=8))
    histories = fit_together(jobs)
    assert [h.status for h in histories] == ["finished", "diverged", "finished"]
    job = company()[2]
    assert repr(histories[2].curves) == repr(fit(job.model, job.task, job.plan).curves)


def test_models_stopped_together_go_on_to_the_same_numbers(tmp_path):
    expected = fit_together(company())
    jobs = company()

    def stop(line):
        signal.raise_signal(signal.SIGINT)

    files = [tmp_path / f"{k}.safetensors" for k in range(3)]
    jobs = [replace(j, checkpoint=f) for j, f in zip(jobs, files, strict=True)]
    jobs[1] = replace(jobs[1], report=stop)
    with pytest.raises(KeyboardInterrupt):
        fit_together(jobs)
    again = [replace(j, checkpoint=f) for j, f in zip(company(), files, strict=True)]
    for a, b in zip(fit_together(again), expected, strict=True):
        assert repr(a.curves) == repr(b.curves)


def test_models_of_different_shapes_train_together_too():
    jobs = company()
    task = Adding(9, batch_size=2, validation_size=8)
    jobs[0] = Job(build(task, LSTM, 3, 0), task, Plan(6))
    assert all(h.status == "finished" for h in fit_together(jobs))


def test_torchs_own_dropout_is_refused_when_models_are_trained_together():
    jobs = company()
    model = SequenceModel(nn.LSTM(2, 5, num_layers=2, dropout=0.1), 1, 1)
    with pytest.raises(ValueError, match=r"dropout of rnn is 0\.1; allowed: 0"):
        fit_together([replace(jobs[0], model=model), jobs[1]])


# -- dropout of the head, and what a curve says ------------------------------------


def test_dropout_of_the_head_is_decided_by_the_models_seed():
    def numbers(seed):
        model = build(Copy(2), LSTM, 4, seed, head_size=50, head_dropout=0.5)
        layer = model.head[2]
        return layer(torch.ones(1000)), layer, model

    first, layer, model = numbers(1)
    assert set(first.tolist()) == {0.0, 2.0} and 400 < (first == 0).sum() < 600
    torch.rand(3)  # torch's own generator has no part in it
    assert torch.equal(numbers(1)[0], first)
    assert not torch.equal(numbers(2)[0], first)
    model.eval()
    assert torch.equal(layer(torch.ones(5)), torch.ones(5))


def test_dropout_without_a_hidden_layer_is_refused():
    with pytest.raises(ValueError, match="head_dropout is 0.5; allowed: 0 where"):
        build(Copy(2), LSTM, 4, 0, head_dropout=0.5)


def test_what_a_curve_says_of_the_way():
    history = History({"step": [0, 1, 2, 3], "accuracy": [0.1, 0.5, 0.2, 0.4]})
    assert history.mean("accuracy") == pytest.approx(0.3)
    assert history.fall("accuracy") == pytest.approx(0.3)
    assert History({"accuracy": [0.1, 0.2]}).fall("accuracy") == 0
