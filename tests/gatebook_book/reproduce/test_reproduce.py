"""``gatebook reproduce``: what is missing, how long it takes, and making it."""

import shutil
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
import yaml
from gatebook.rnn.module import LSTM
from gatebook.tasks import Adding
from gatebook.training import Plan, build, fit
from gatebook_book.reproduce import work
from gatebook_book.reproduce.blocks import blocks, chosen, commands
from gatebook_book.reproduce.calibrate import seconds_per_step
from gatebook_book.runs.claims import claims
from gatebook_book.runs.store import Store

TRAINING = """
from gatebook.tasks import Adding
from gatebook.training import Plan
from gatebook_book.runs.store import Store
from gatebook_book.studies.tasks import Point, train_all

train_all(
    Store("first"),
    [
        Point(g, s, Adding(6, 4, seed=s, validation_size=8), Plan(steps), 4,
              options={"gate": g})
        for g in gates for s in seeds
    ],
)
"""
BLOCK = {
    "page": "first",
    "profile": "own",
    "why": "It is quick.",
    "methods": ["LSTM", "UR"],
    "parameter": "gates",
    "seeds": [0, 1],
    "runs": {"length": 6},
    "shape": [6, 4, 2, 4],
}
CLAIM = {
    "claim": "UR adds",
    "source": "P2",
    "paper": "it does",
    "metric": "loss",
    "methods": ["UR", "LSTM"],
    "reproduced": 'median("UR") < median("LSTM")',
}


@pytest.fixture
def shelf(book):
    """The small book, whose first page trains, with claims and one block of runs."""
    page = book / "book/first.md"
    head = page.read_text().split("from gatebook.gates")[0]
    more = 'seeds: list[int] = [0]  # runs\ndevice: str = "cpu"  # where\n'
    head = head.replace("fast: bool", f"{more}fast: bool")
    page.write_text(f"{head}{TRAINING}\n```\n")
    own = "first: {steps: 7, gates: [LSTM, UR], seeds: [0, 1]}\n"
    (book / "book/profiles/own.yaml").write_text(own)
    (book / "book/claims").mkdir()
    (book / "book/claims/first.yaml").write_text(yaml.safe_dump([CLAIM]))
    (book / "book/reproduce.yaml").write_text(yaml.safe_dump([BLOCK]))
    return book


def store(book, name, seed, steps=7, length=6):
    run = {"status": "finished", "metrics": {"loss": 1.0}, "curves": {}}
    kept = Store("first", "own", book / "data/results")
    kept.run(name, seed, {"steps": steps, "length": length}, lambda checkpoint: run)


def test_what_is_missing_and_whom_it_concerns(shelf):
    store(shelf, "UR", 1)
    store(shelf, "LSTM", 1, steps=8)  # stale: of another budget
    store(shelf, "LSTM", 1, length=9)  # of another experiment
    (block,) = blocks()
    assert block.missing() == [("LSTM", 0), ("UR", 0), ("LSTM", 1)]
    assert [claim.claim for claim in block.decides()] == ["UR adds"]
    assert [p.label for p in work.points([block], "cpu")] == [
        "first LSTM seed 0",
        "first UR seed 0",
        "first LSTM seed 1",
    ]
    (together,) = work.points([block], "cuda")
    assert together.label == "first LSTM,UR seed 0,1"


def test_a_claim_on_other_runs_is_not_decided(shelf):
    other = CLAIM | {"claim": "UR adds more", "where": {"length": 9}}
    (shelf / "book/claims/first.yaml").write_text(yaml.safe_dump([CLAIM, other]))
    (block,) = blocks()
    assert [claim.claim for claim in block.decides()] == ["UR adds"]


def test_a_run_that_two_blocks_lack_is_made_once(shelf):
    less = BLOCK | {"methods": ["UR"]}
    (shelf / "book/reproduce.yaml").write_text(yaml.safe_dump([less, BLOCK]))
    made = [point.label for point in work.points(blocks(), "cpu")]
    assert made[:2] == ["first UR seed 0", "first UR seed 1"]
    assert sorted(made[2:]) == ["first LSTM seed 0", "first LSTM seed 1"]


@pytest.mark.parametrize("workers, turns", [(1, 4), (2, 2), (3, 2), (9, 1)])
def test_workers_share_the_runs(shelf, monkeypatch, workers, turns):
    monkeypatch.setattr(work, "seconds_per_step", lambda shape: 2.0)
    (task,) = work.tasks(blocks(), "cpu", workers)
    assert task.missing == 4
    assert task.seconds == turns * (work.STARTUP + 7 * 2.0)


def test_the_command_of_a_claim_repeats_its_runs_and_no_others(shelf):
    (claim,) = claims("first")
    fewer = replace(claim, methods=["UR"])
    (block,) = blocks()
    command = block.again(fewer)
    assert commands(claim, "own") == block.again(claim)
    assert command.startswith("gatebook run first --profile own --fresh -p ")
    assert "-p gates=UR " in command and command.endswith("-p seeds=0,1")
    assert commands(claim, "laptop") == ""


def test_a_page_or_a_part_of_a_claim_chooses(shelf):
    assert chosen("first", "own") == chosen("ur ADDS", "own") == blocks()


@pytest.mark.parametrize(
    "words, message",
    [
        (["frist"], "unknown page or claim 'frist'; did you mean 'first'"),
        (["second"], "lists no runs at profile 'own' for 'second'"),
        (["--profile", "laptop"], "profile is 'laptop'; allowed: 'own'"),
        (["--profile", "papr"], "unknown profile 'papr'; did you mean 'paper'"),
        (["--budget", "0h"], "budget is '0h'; allowed: a time above 0"),
        (["--budget", "2"], "budget is '2'; allowed"),
        (["--budget", "h2"], "budget is 'h2'; allowed"),
        (["--device", "gpu"], "unknown device 'gpu'"),
    ],
)
def test_a_mistake_is_one_line_before_anything_runs(shelf, cli, words, message):
    code, out, err = cli("reproduce", *words)
    assert code == 2 and err.startswith(f"error: {message}") or message in err
    assert err.count("\n") == 1 and not (shelf / "_build").exists()


@pytest.mark.parametrize(
    "change, message",
    [
        ({"methods": ["XX"]}, "block 1: unknown gate 'XX'"),
        ({"parameter": "gate"}, "block 1: unknown parameter 'gate'"),
        ({"page": "frist"}, "block 1: unknown page 'frist'; did you mean 'first'"),
        ({"shape": [6, 4]}, "block 1: shape is [6, 4]"),
        ({"when": "now"}, "unknown field 'when'"),
        ({"why": ...}, "block 1 lacks why"),
    ],
)
def test_a_block_that_cannot_run_is_named(shelf, cli, change, message):
    block = {k: v for k, v in (BLOCK | change).items() if v is not ...}
    (shelf / "book/reproduce.yaml").write_text(yaml.safe_dump([block]))
    code, _, err = cli("reproduce", "--dry-run")
    assert code == 2 and message in err and err.count("\n") == 1


def test_a_result_that_was_cut_short_is_named_and_left(shelf, cli):
    store(shelf, "UR", 1)
    (file,) = (shelf / "data/results/first/own").glob("*.json")
    file.write_text(file.read_text()[:40])
    code, _, err = cli("reproduce", "--dry-run")
    assert code == 2 and f"result file {file} is not JSON" in err
    assert err.count("\n") == 1 and file.exists()


def test_results_that_cannot_be_stored_are_reported_before_hours_are_spent(shelf, cli):
    (shelf / "data").write_text("a file where the folder should be")
    code, _, err = cli("reproduce")
    assert code == 1 and "results cannot be stored in" in err and err.count("\n") == 1


def test_a_full_disk_is_reported_too(shelf, cli, monkeypatch):
    usage = SimpleNamespace(free=2**20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)
    code, _, err = cli("reproduce")
    assert code == 1 and "1 MiB are free; needed: 200 MiB" in err


def test_the_table_says_how_far_the_budget_goes(shelf, cli):
    store(shelf, "UR", 1)
    code, out, _ = cli("reproduce", "--dry-run", "--budget", "1s")
    lines = out.splitlines()
    assert code == 0 and lines[0].startswith(" 1. first (own): 3 of 4 runs missing")
    assert lines[1:3] == ["    It is quick.", "    - UR adds"]
    assert lines[3].startswith("-- the budget of 1 s ends in the block above")
    assert lines[4].startswith("3 runs missing, about 0.0 h")


def test_a_number_of_workers_is_checked(shelf, cli):
    code, _, err = cli("reproduce", "--dry-run", "--workers", "0")
    assert code == 2 and "workers is 0; allowed: an integer >= 1" in err


def test_the_runs_of_a_profile_for_a_gpu_go_to_the_device_that_was_asked():
    points = work.points(chosen("memory/copy", "paper"), "cpu")
    assert {point.parameters["device"] for point in points} == {"cpu"}


@pytest.mark.parametrize(
    "text, seconds", [("2h", 7200), ("1h30m", 5400), ("1.5h", 5400), ("90 min", 5400)]
)
def test_budgets(text, seconds):
    assert work.seconds_of(text) == seconds


def test_an_estimate_is_right_within_a_factor_of_one_and_a_half():
    task, steps = Adding(120, 32), 40
    model = build(task, LSTM, 64, 0, gate="UR")
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ratios = []
        for _ in range(3):  # the machine may be busy
            seconds_per_step.cache_clear()
            estimate = steps * seconds_per_step((120, 32, 2, 64))
            started = time.process_time()
            fit(model, task, Plan(steps, evaluate_every=steps))
            ratios.append((time.process_time() - started) / estimate)
    finally:
        torch.set_num_threads(threads)
    assert 1 / 1.5 < sorted(ratios)[1] < 1.5


def test_the_missing_runs_are_made_and_then_nothing_is_missing(shelf, cli):
    store(shelf, "UR", 1)
    code, out, err = cli("reproduce", "UR adds", "--budget", "5m", "--workers", "1")
    assert code == 0, err
    assert "3 done" in out and "0 runs are still missing" in out
    runs = Store("first", "own", shelf / "data/results").load()
    assert len(runs) == 4 and {run["parameters"]["steps"] for run in runs} == {7}
    assert cli("reproduce")[1] == "nothing is missing\n"


def test_at_the_end_of_its_budget_it_stops_and_says_so(shelf, cli):
    own = "first: {steps: 400000, gates: [LSTM, UR], seeds: [0, 1]}\n"
    (shelf / "book/profiles/own.yaml").write_text(own)
    code, out, _ = cli("reproduce", "--budget", "3s", "--workers", "1")
    assert code == 0 and "the budget is spent: what runs stores its state" in out
    assert "4 runs are still missing" in out and "4 stopped" in out
