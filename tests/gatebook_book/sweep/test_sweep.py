"""Sweeps with real workers and kernels, which are killed, stopped and doubled."""

import contextlib
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from types import SimpleNamespace

import psutil
import pytest
from filelock import FileLock
from gatebook.tasks import Adding
from gatebook.training import Plan
from gatebook_book.pages.execute import KernelLost
from gatebook_book.runs.store import Store
from gatebook_book.studies.tasks import Point, train_all
from gatebook_book.sweep import point as points_module
from gatebook_book.sweep import sweep as sweeps
from gatebook_book.sweep.grid import points
from gatebook_book.sweep.point import Order, Outcome, SweepPoint, run_point, stop
from gatebook_book.sweep.sweep import report, sweep

# A training that says which step it is at, and stores its state after each.
TRAINING = """
import functools, os, time
from gatebook_book.studies import tasks as experiment
from gatebook_book.runs.store import Store
from gatebook.tasks import Adding
from gatebook.training import Plan

together = experiment.fit_together
experiment.fit_together = functools.partial(together, checkpoint_seconds=0)
trace = os.path.join(os.environ["GATEBOOK_ROOT"], "trace")

class Slow(Adding):
    def batch(self, step):
        with open(trace, "a") as file:
            file.write(f"{gates[0]}/{self.seed} {step} {os.getpid()}\\n")
        time.sleep(rate)
        return super().batch(step)

if "C" in gates:
    raise ValueError("no such gate here")
experiment.train_all(
    Store("first"),
    [
        experiment.Point(g, s, Slow(6, 4, seed=s, validation_size=8),
                         Plan(steps, evaluate_every=5), 4, options={"gate": g})
        for g in gates for s in seeds
    ],
    looks={"weights": lambda m, t: [p.tolist() for p in m.parameters()]},
)
"""
STEPS = 20
RUNS = "data/results/first/laptop"
GRID = ["--grid", "gate=LSTM,G2", "--grid", "seed=0:2"]
TWO = ["--grid", "gate=LSTM,G2", "-p", "seeds=0"]
ONE = ["--grid", "gate=G2", "-p", "seeds=0"]


@pytest.fixture
def training(book):
    """The small book, whose first page trains the gates and seeds it is given."""
    page = book / "book/first.md"
    head = page.read_text().split("from gatebook.gates")[0]
    head = head.replace("fast: bool", "seeds: list[int] = [0]  # runs\nfast: bool")
    page.write_text(f"{head}{TRAINING}\n```\n")
    own = f"{{steps: {STEPS}, rate: 0.05, gates: [LSTM, G2], seeds: [0, 1]}}"
    (book / "book/profiles/laptop.yaml").write_text(f"first: {own}\n")
    return book


def start(*words, limit="1"):
    command = [sys.executable, "-m", "gatebook_book.cli", "sweep", "first"]
    options = ["--profile", "laptop", "--workers", "2", "--limit", limit]
    return subprocess.Popen(
        [*command, *options, *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def ended(process):
    out, _ = process.communicate(timeout=250)
    return process.returncode, out


def wait_for(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "waited too long"
        time.sleep(0.02)


def trace(book):
    """Run, step and process of each step that was begun."""
    file = book / "trace"
    lines = file.read_text().splitlines() if file.exists() else []
    return [line.split() for line in lines if line.count(" ") == 2]


def numbers(folder):
    """What runs found, without where and when; as text, for NaN is not itself."""
    keys = ("name", "seed", "status", "metrics", "curves", "weights", "parameters")
    runs = Store("first", "laptop", folder).load()
    return json.dumps([{key: run[key] for key in keys} for run in runs])


def expected(tmp_path_factory, gates=("LSTM", "G2"), seeds=(0, 1)):
    """The same runs, trained here without a break."""
    made = [
        Point(
            gate,
            seed,
            Adding(6, 4, seed=seed, validation_size=8),
            Plan(STEPS, evaluate_every=5),
            4,
            options={"gate": gate},
        )
        for gate in gates
        for seed in seeds
    ]
    folder = tmp_path_factory.mktemp("expected")
    weights = {"weights": lambda model, task: [p.tolist() for p in model.parameters()]}
    train_all(Store("first", "laptop", folder), made, looks=weights)
    return numbers(folder)


def children(process, word):
    """Processes below a sweep whose command line holds a word."""
    found = []
    for child in psutil.Process(process.pid).children(recursive=True):
        try:
            if any(word in part for part in child.cmdline()):
                found.append(child)
        except psutil.Error:
            continue
    return found


def worker_of(process, kernel_pid):
    return psutil.Process(int(kernel_pid)).parent()


# -- whole sweeps ------------------------------------------------------------------


def test_a_killed_worker_and_a_killed_kernel_cost_nothing(training, tmp_path_factory):
    process = start(*TWO)
    wait_for(lambda: len({pid for *_, pid in trace(training)}) >= 2)
    first, second = list(dict.fromkeys(pid for *_, pid in trace(training)))[:2]
    worker_of(process, first).kill()
    os.kill(int(second), signal.SIGKILL)
    code, out = ended(process)
    assert code == 0, out
    assert "dashboard: http://" in out and "2 done" in out
    assert numbers(training / "data/results") == expected(tmp_path_factory, seeds=[0])
    steps = Counter((run, step) for run, step, _ in trace(training))
    # A killed run goes on from its last checkpoint and does not begin anew. Its last
    # step may be in the trace twice.
    assert sum(steps.values()) <= 2 * STEPS + 2
    assert sorted(p.suffix for p in (training / RUNS).iterdir()) == [".json"] * 2


def test_ctrl_c_stores_and_the_same_command_goes_on(training, tmp_path_factory):
    process = start(*ONE)
    wait_for(lambda: len(trace(training)) >= 6)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    code, out = ended(process)
    assert code == 130, out
    assert "the same command goes on from there" in out and "Traceback" not in out
    done = len(trace(training))
    assert done < STEPS
    assert list((training / RUNS).glob("*.safetensors"))
    # What the same command does next, without another cluster.
    (point,) = points("first", "laptop", ["gate=G2"], {"seeds": "0"})
    assert run_point(point, order(training)).status == "done"
    assert len(trace(training)) == STEPS
    assert numbers(training / "data/results") == expected(tmp_path_factory, ["G2"], [0])


def test_a_worker_that_does_not_come_back_is_replaced(training, monkeypatch):
    monkeypatch.setattr(sweeps, "LOST", 0.0)  # dask gives it up at once
    with sweeps._client(None, 1) as client:
        (pid,) = client.run(os.getpid).values()
        os.kill(pid, signal.SIGKILL)
        wait_for(lambda: not client.cluster.workers)
        point = one(seeds="0", rate="0.001")
        outcomes = sweeps._Run(client, order(training), [point]).finish(float("inf"))
    assert outcomes[point].status == "done", outcomes[point]


def test_without_any_worker_a_sweep_ends(monkeypatch):
    """No new one starts either: memory is short, say."""
    monkeypatch.setattr(sweeps, "ALONE", 0.0)
    cluster = SimpleNamespace(
        scheduler_info={"workers": {}}, workers={}, worker_spec={}
    )
    run = sweeps._Run(SimpleNamespace(cluster=cluster), order("."), [])
    with pytest.raises(OSError, match="no worker was alive for 0 s"):
        run._replace_lost_workers()


def test_a_worker_that_dies_at_its_start_is_one_line(monkeypatch):
    monkeypatch.setattr(sweeps, "OWN_GROUP", "import os; os._exit(1)")
    told = pytest.raises(OSError, match="one of 1 workers died while it started")
    with told, sweeps._client(None, 1):
        pass


@pytest.mark.slow
def test_two_sweeps_at_once_share_the_work(training, tmp_path_factory):
    both = [start(*GRID), start(*GRID)]
    for process in both:
        code, out = ended(process)
        assert code == 0, out
    assert numbers(training / "data/results") == expected(tmp_path_factory)
    assert len(trace(training)) == 4 * STEPS


@pytest.mark.slow
def test_a_failing_point_is_reported_and_finished_ones_are_not_run_again(training):
    grid = ["--grid", "gate=LSTM,C", "-p", "rate=0.001"]
    code, out = ended(start(*grid))
    assert code == 1
    assert re.search(r"failed: gate=C: page first, cell 3: ValueError: no such", out)
    assert "1 done, 1 failed" in out
    before = trace(training)
    code, out = ended(start(*grid))
    assert code == 1 and "2 points, 1 finished before" in out
    assert trace(training) == before
    page = training / "book/first.md"
    page.write_text(page.read_text().replace("import functools", "import  functools"))
    again = ["--grid", "gate=LSTM", "-p", "rate=0.001"]
    code, out = ended(start(*again))
    assert code == 0 and "1 points, 1 finished before" in out
    runs = set((training / "_build/sweeps/first/laptop").glob("*.json"))
    page.write_text(page.read_text().replace("no such gate", "not a gate"))
    code, out = ended(start(*again))
    assert code == 0 and "1 points, 0 finished before" in out
    assert runs < set((training / "_build/sweeps/first/laptop").glob("*.json"))


@pytest.mark.slow
def test_workers_of_a_running_scheduler(training, tmp_path_factory):
    dask = [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    port = "28786"
    address = f"tcp://127.0.0.1:{port}"
    scheduler = subprocess.Popen(
        [*dask, "--port", port, "--host", "127.0.0.1", "--dashboard-address", ":0"],
        stderr=subprocess.DEVNULL,
    )
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", address]
    # Of two nodes, one goes away for good while it is at work.
    nodes = [
        subprocess.Popen(
            [*worker, "--nthreads", "1", "--no-dashboard"],
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        for _ in range(2)
    ]
    try:
        process = start(*GRID, "--scheduler", address)
        wait_for(lambda: len({pid for *_, pid in trace(training)}) >= 2)
        below = psutil.Process(nodes[0].pid).children(recursive=True)
        for gone in [psutil.Process(nodes[0].pid), *below]:
            gone.kill()
        code, out = ended(process)
        assert code == 0, out
        assert numbers(training / "data/results") == expected(tmp_path_factory)
    finally:
        for one in (*nodes, scheduler):
            one.kill()
            one.wait()


@pytest.mark.slow
def test_a_missing_scheduler_gives_a_clear_error(training):
    process = start(*GRID, "--scheduler", "tcp://127.0.0.1:1")
    code, out = ended(process)
    assert code == 1
    assert "error: " in out and "tcp://127.0.0.1:1" in out and "Traceback" not in out


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_twenty_kills_of_anything_at_random_moments(training, tmp_path_factory):
    dice = random.Random(0)
    killed = Counter()
    profile = training / "book/profiles/laptop.yaml"
    profile.write_text(profile.read_text().replace("rate: 0.05", "rate: 1.0"))
    while sum(killed.values()) < 20:
        steps = len(trace(training))
        process = start(*GRID)
        wait_for(lambda s=steps, p=process: len(trace(training)) > s or p.poll() == 0)
        time.sleep(2 * dice.random())
        what = dice.choice(["sweep", "worker", "kernel"])
        below = children(process, "ipykernel_launcher")
        if process.poll() is not None:
            break
        if not below:  # all kernels are just starting or have just ended
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            continue
        with_pid = below[0].pid
        victim = {
            "sweep": lambda p=process: psutil.Process(p.pid),
            "worker": lambda p=process, k=with_pid: worker_of(p, k),
            "kernel": lambda k=with_pid: psutil.Process(k),
        }[what]()
        victim.kill()
        killed[what] += 1
        if what != "sweep":
            time.sleep(dice.random())
            os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
    code, out = ended(start(*GRID))
    assert code == 0, out
    assert sum(killed.values()) >= 20, killed
    assert numbers(training / "data/results") == expected(tmp_path_factory)


# -- one point, in this process ----------------------------------------------------


def order(book, silence=60.0, sweep="s"):
    return Order(sweep, str(book), silence, {"OMP_NUM_THREADS": "1"})


def one(page="first", **given):
    return points(page, "laptop", ["gate=LSTM"], given)[0]


def replace_code(book, code):
    page = book / "book/first.md"
    head = page.read_text().split("from gatebook.gates")[0]
    page.write_text(f"{head}{code}\n```\n")


@pytest.mark.parametrize("number", [0, -1])
def test_a_sweep_of_no_workers_is_refused(number):
    with pytest.raises(ValueError, match=f"workers is {number}; allowed: an integer"):
        sweep([], workers=number)


def test_minutes_of_silence_and_threads_reach_the_workers(book, monkeypatch):
    orders = []

    class Run:
        def __init__(self, client, order, points):
            orders.append(order)

        def finish(self, budget):
            return {}

    client = SimpleNamespace(dashboard_link="")
    monkeypatch.setattr(sweeps, "_client", lambda *_: contextlib.nullcontext(client))
    monkeypatch.setattr(sweeps, "_Run", Run)
    sweep([one()], threads=3, limit=2)
    assert orders[0].silence == 120
    assert orders[0].environment == {"OMP_NUM_THREADS": "3"}


def test_a_point_is_done_once(book):
    outcome = run_point(one(), order(book))
    assert outcome.status == "done" and outcome.seconds > 0
    assert one().record()["parameters"] == {"steps": 7, "gates": ["LSTM"]}
    assert run_point(one(), order(book)).status == "found"


def test_a_point_whose_result_was_deleted_is_run_again(book):
    replace_code(
        book,
        "from gatebook_book.runs.store import Store\n"
        "Store('first').run('LSTM', 0, {}, lambda c: dict(status='finished', "
        "metrics={}, curves={}))",
    )
    assert run_point(one(), order(book)).status == "done"
    (result,) = (book / RUNS).glob("*.json")
    assert one().record()["results"] == [result.relative_to(book).as_posix()]
    result.unlink()
    assert run_point(one(), order(book)).status == "done"
    text = result.read_text()
    for cut in (text[:40], "", "{}"):
        result.write_text(cut)
        assert one().record() is None


def test_a_record_that_was_cut_short_does_not_count(book):
    record = one().file("json")
    record.parent.mkdir(parents=True)
    for text in ("", '{"results": [', "[]", "{}"):
        record.write_text(text)
        assert one().record() is None


def test_a_point_that_another_process_is_at_is_busy(book):
    lock = one().file("lock")
    lock.parent.mkdir(parents=True)
    with FileLock(lock):
        assert run_point(one(), order(book)).status == "busy"


def test_a_kernel_that_hangs_is_killed_and_the_point_tried_again(book):
    replace_code(book, "import time\ntime.sleep(600)")
    started = time.monotonic()
    with pytest.raises(KernelLost, match="no sign of life for 4 s"):
        run_point(one(), order(book, silence=4.0))
    assert time.monotonic() - started < 60


def test_a_kernel_that_ends_itself_is_lost(book):
    replace_code(book, "import os\nos._exit(1)")
    with pytest.raises(KernelLost, match="its kernel died"):
        run_point(one(), order(book))


def test_a_stopped_point_stops_its_kernel(book, monkeypatch):
    monkeypatch.setattr(points_module, "_stops", defaultdict(threading.Event))
    mark = book / "started"
    replace_code(book, f"import time\nopen({str(mark)!r}, 'w')\ntime.sleep(600)")

    def later():
        wait_for(mark.exists)
        stop("s")

    thread = threading.Thread(target=later)
    thread.start()
    assert run_point(one(), order(book)).status == "stopped"
    thread.join()
    assert run_point(one(), order(book)).status == "stopped"  # does not start again


def test_a_folder_that_cannot_be_written_gives_a_clear_error(book):
    (book / "_build").mkdir()
    (book / "_build/runs").write_text("a file where the folder should be")
    outcome = run_point(one(), order(book))
    assert outcome.status == "failed" and "_build/runs" in outcome.message


def test_a_failure_is_told_whatever_was_stopped(capsys):
    found = [Outcome("stopped"), Outcome("failed", 1.0, "why"), Outcome("done")]
    points = [SweepPoint("first", "book", {}, f"point {k}") for k in range(3)]
    assert report(dict(zip(points, found, strict=True))) == 1
    assert "failed: point 1: why" in capsys.readouterr().err
    assert report({points[0]: found[0]}) == 130
