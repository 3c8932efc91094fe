"""The store: a run is done once, written whole, and says where it comes from."""

import json
import multiprocessing
import os
import time

import pytest
from gatebook_book.context import Context, using
from gatebook_book.paths import root
from gatebook_book.runs import store as results
from gatebook_book.runs.provenance import commit
from gatebook_book.runs.store import Store, load, read


@pytest.fixture
def store(tmp_path):
    return Store("memory/copy", "laptop", tmp_path)


def done(loss=0.5, status="finished"):
    return {"status": status, "metrics": {"loss": loss}, "curves": {"step": [0]}}


def test_a_run_is_done_once_and_then_read(store):
    calls = []

    def work(checkpoint):
        calls.append(checkpoint)
        return done()

    first = store.run("UR", 1, {"length": 5}, work)
    again = store.run("UR", 1, {"length": 5}, work)
    assert len(calls) == 1 and first == again
    assert calls[0].parent == store.path


def test_a_run_just_done_is_what_a_later_reading_gives(store):
    def work(checkpoint):
        curves = {"step": (0, 1), "loss": [float("nan"), 0.5]}
        return done() | {"curves": curves, "bins": {3: 1.0}}

    first = store.run("UR", 1, {"sizes": (1, 2)}, work)
    assert first == store.run("UR", 1, {"sizes": (1, 2)}, work) == store.load()[0]
    assert first["curves"] == {"step": [0, 1], "loss": [None, 0.5]}


def test_a_run_that_lacks_something_is_not_stored_and_keeps_its_checkpoint(store):
    def work(checkpoint):
        checkpoint.write_bytes(b"state")
        return {"metrics": {}}

    with pytest.raises(ValueError, match="UR-seed1-.* lacks status"):
        store.run("UR", 1, {}, work)
    assert [p.suffix for p in store.path.iterdir()] == [".safetensors"]


@pytest.mark.parametrize("name", ["", "a/b", "/tmp/a", "../UR", "a\\b"])
def test_a_name_that_is_no_files_is_refused_before_any_work(store, name):
    with pytest.raises(ValueError) as error:
        store.run(name, 1, {}, lambda checkpoint: 1 / 0)
    assert f"name is {name!r}; allowed" in str(error.value)


CHANGES = [("UR", 2, {"n": 5}), ("UR", 1, {"n": 6}), ("C", 1, {"n": 5})]


@pytest.mark.parametrize("change", CHANGES)
def test_another_seed_parameter_or_method_is_another_run(store, change):
    assert store.file("UR", 1, {"n": 5}) != store.file(*change)
    assert store.file("UR", 1, {"a": 1, "b": 2}) == store.file(
        "UR", 1, {"b": 2, "a": 1}
    )


def test_a_run_says_where_it_comes_from(store):
    store.run("UR", 1, {"length": 5}, lambda checkpoint: done())
    (file,) = store.path.iterdir()
    run = json.loads(file.read_text())
    assert (run["page"], run["profile"]) == ("memory/copy", "laptop")
    assert (run["name"], run["seed"]) == ("UR", 1)
    assert run["parameters"] == {"length": 5}
    assert set(run["versions"]) == {"python", "torch"}
    assert run["commit"] and run["device"] and run["date"]
    assert run["peak_memory_mb"] > 10 and run["seconds"] >= 0 and run["threads"] == 1


def test_the_checkpoint_goes_when_the_run_is_stored(store):
    def work(checkpoint):
        checkpoint.write_bytes(b"state")
        return done()

    store.run("UR", 1, {}, work)
    assert [p.suffix for p in store.path.iterdir()] == [".json"]


def test_a_run_that_fails_stores_nothing(store):
    with pytest.raises(ZeroDivisionError):
        store.run("UR", 1, {}, lambda checkpoint: 1 / 0)
    assert not list(store.path.iterdir())


def test_a_value_that_is_not_finite_is_null(store):
    store.run("UR", 1, {}, lambda checkpoint: done(float("nan"), "diverged"))
    (run,) = store.load()
    assert run["metrics"]["loss"] is None


DAMAGED = ['{"page": "x"', "[1", '{"page": "x"}', "\xff", "", "3", "null", '["page"]']


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_named(tmp_path, text):
    file = tmp_path / "UR-seed0.json"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match="UR-seed0.json"):
        read(file)


def test_runs_come_by_name_and_seed(store):
    for name, seed in (("UR", 10), ("UR", 2), ("C", 1)):
        store.run(name, seed, {}, lambda checkpoint: done())
    assert [(r["name"], r["seed"]) for r in store.load()] == [
        ("C", 1),
        ("UR", 2),
        ("UR", 10),
    ]


def test_the_context_says_where_results_go(tmp_path):
    with using(Context(results=str(tmp_path), profile="smoke")):
        assert Store("a/b").path == tmp_path / "a/b/smoke"
    with using(Context()):
        assert Store("a/b").path == root() / "_build/results/a/b/live"


def test_a_run_says_which_schema_it_has_and_an_old_one_has_the_first(store):
    run = store.run("UR", 0, {}, lambda checkpoint: done())
    file = store.file("UR", 0, {})
    text = file.read_text()
    assert run["schema"] == 1 and text.startswith('{"schema": 1, ')
    file.write_text(text.replace('"schema": 1, ', ""))
    assert read(file) == run
    file.write_text(text.replace('"schema": 1', '"schema": 2'))
    with pytest.raises(ValueError, match="UR-seed0.* has schema 2; allowed: 1"):
        read(file)


def write(folder, seed):
    Store("p", "laptop", folder).run("UR", seed % 3, {}, lambda checkpoint: done())


def test_in_a_context_with_a_code_another_code_makes_another_run(tmp_path):
    for code in ("0a1b2c3d", "4e5f6071"):
        with using(Context(results=str(tmp_path), code=code)):
            Store("p").run("UR", 0, {}, lambda checkpoint: done())
    store = Store("p", folder=tmp_path)
    assert len(store.load()) == 2
    (store.path / "code").write_text("4e5f6071")
    assert len(store.load()) == 1
    assert store.file("UR", 0, {}).stem.count("-") == 2  # not in git's


def test_of_a_repeat_only_runs_made_since_it_began_count(tmp_path):
    made = []

    def make(seed):
        Store("p").run("UR", seed, {}, lambda checkpoint: made.append(seed) or done())

    with using(Context(results=str(tmp_path))):
        make(0), make(1)
    (first,) = tmp_path.rglob("UR-seed0-*.json")
    os.utime(first, (1.0, 1.0))
    (second,) = tmp_path.rglob("UR-seed1-*.json")
    os.utime(second, (1.0, 1.0))
    with using(Context(results=str(tmp_path), since=2.0)):
        make(0), make(0)
    assert made == [0, 1, 0]
    assert first.exists() and second.exists()


BROKEN = [
    ({"parameters": 3}, "parameters in result file .* is 3; allowed: an object"),
    ({"metrics": None}, "metrics in result file .* is None; allowed: an object"),
]


@pytest.mark.parametrize(("change", "message"), BROKEN)
def test_a_result_with_a_field_of_another_kind_is_named(store, change, message):
    store.run("UR", 0, {}, lambda checkpoint: done())
    (file,) = store.path.glob("*.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | change))
    with pytest.raises(ValueError, match=message):
        read(file)


def test_processes_side_by_side_do_not_corrupt(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(write, [(tmp_path, seed) for seed in range(12)])
    assert len(Store("p", "laptop", tmp_path).load()) == 3


def work_slowly(folder, seconds):
    def work(checkpoint):
        with (folder / "calls").open("a") as calls:
            calls.write("called\n")
        time.sleep(seconds)
        return done()

    Store("p", "laptop", folder).run("UR", 0, {}, work)


def test_of_two_processes_one_does_the_work(tmp_path):
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        pool.starmap(work_slowly, [(tmp_path, 0.5)] * 4)
    assert (tmp_path / "calls").read_text() == "called\n"
    assert [p.suffix for p in (tmp_path / "p/laptop").iterdir()] == [".json"]


def test_a_process_that_is_killed_frees_its_run_and_leaves_nothing(tmp_path):
    process = multiprocessing.get_context("spawn").Process(
        target=work_slowly, args=(tmp_path, 600)
    )
    process.start()
    while not (tmp_path / "calls").exists():
        time.sleep(0.01)
    process.kill()
    store = Store("p", "laptop", tmp_path)
    name = store.file("UR", 0, {}).stem
    for half in (f".{name}.safetensors.x1y2", f".{name}.json.z3"):  # as write_atomic's
        (store.path / half).write_bytes(b"ha")
    work_slowly(tmp_path, 0)
    process.join()
    assert [p.suffix for p in store.path.iterdir()] == [".json"]
    assert len(store.load()) == 1


def test_a_folder_that_cannot_be_written_is_reported_before_any_work(tmp_path):
    (tmp_path / "memory").write_text("a file where the folder should be")
    with pytest.raises(OSError, match="cannot write: .*lock"):
        Store("memory/copy", "laptop", tmp_path).run("UR", 0, {}, lambda c: 1 / 0)


def test_every_stored_run_in_the_repository_can_be_read():
    runs = load("memory/copy", "laptop") + load("pixels/mnist", "laptop")
    for run in runs:
        assert run["status"] in ("finished", "diverged")
        assert run["commit"] != "unknown"
    assert commit()


def test_a_run_of_the_repository_is_found_by_its_parameters():
    folder = root() / results.STORED
    for file in folder.rglob("*.json"):
        run, store = read(file), Store(*_place(file, folder))
        assert store.file(run["name"], run["seed"], run["parameters"]) == file


def _place(file, folder):
    *page, profile, _ = file.relative_to(folder).parts
    return "/".join(page), profile, folder
