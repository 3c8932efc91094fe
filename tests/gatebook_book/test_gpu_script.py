"""``make gpu`` on a CPU: its runs are the page's, and it needs PyTorch alone."""

import subprocess
import sys
from types import ModuleType

import pytest
import torch
from gatebook_book.pages.pages import find
from gatebook_book.paths import root

sys.path.insert(0, str(root() / "bench"))
import gpu
import stand_in

# As on a machine that has PyTorch, and what PyTorch itself needs, and nothing else.
BARE = """
import importlib.abc, importlib.metadata, runpy, sys

KEPT = "torch torchgen functorch triton numpy filelock sympy mpmath networkx jinja2"
KEPT = set(f"{KEPT} markupsafe fsspec typing_extensions setuptools".split())
there = {
    str(file).split("/")[0].removesuffix(".py")
    for package in importlib.metadata.distributions() for file in package.files or ()
}

class Bare(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        top = name.split(".")[0]
        if top in there - KEPT and not top.startswith("gatebook"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Bare())
import importlib.util
real = importlib.util.find_spec
importlib.util.find_spec = lambda n, p=None: None if n in there - KEPT else real(n, p)
sys.argv = ["gpu.py", *sys.argv[1:]]
sys.path[0] = "bench"
runpy.run_path("bench/gpu.py", run_name="__main__")
"""


def test_the_runs_are_those_of_the_page_at_the_profile_paper():
    page, profile = find("memory/copy"), "paper"
    own = {q.name: q.default for q in page.parameters().values()}
    own |= page.effective(profile, {})
    points = gpu.copy_points(own["steps"])
    assert {p.name for p in points} | {"CIFG"} == set(own["gates"])
    assert sorted({p.seed for p in points}) == own["seeds"]
    for point in points:
        made = point.parameters()
        same = ("length", "hidden_size", "steps", "learning_rate", "batch_size")
        for name in (*same, "evaluate_every"):
            assert made[name] == own[name], name
        assert (made["gate"], made["clip"]) == (point.name, 1.0)
        assert own["paper_start"] and made["single_bias"]
        shared = {"C", "U", "UR", "UM"}
        assert ("gate_bias" in made) == (point.name in shared)
        assert point.task.seed == point.seed and made["form"] == "one-hot"


def test_what_stands_in_for_safetensors_reads_what_it_wrote(tmp_path):
    tensors = {"a": torch.arange(3), "b": torch.ones(2, 2)}
    file = tmp_path / "f"
    file.write_bytes(stand_in._save(tensors, {"sum": "1"}))
    with stand_in._Opened(str(file), framework="pt") as opened:
        assert opened.metadata() == {"sum": "1"} and opened.keys() == ["a", "b"]
        assert torch.equal(opened.get_tensor("b"), tensors["b"])
    file.write_bytes(file.read_bytes()[:50])
    with pytest.raises(RuntimeError, match="no checkpoint"):
        stand_in._Opened(str(file), framework="pt")


def test_what_is_installed_is_not_stood_in_for():
    assert stand_in.fill_in() == []
    names = [m.__name__ for m in stand_in._safetensors() + stand_in._jaxtyping()]
    assert names == ["safetensors", "safetensors.torch", "jaxtyping"]
    assert isinstance(stand_in._images()[0], ModuleType)


@pytest.mark.parametrize(
    "words, message",
    [
        (["--budget", "0"], "--budget is 0.0; allowed: minutes above 0"),
        (["--device", "cuda"], "PyTorch sees no GPU here"),
    ],
)
def test_a_mistake_is_reported_before_anything_starts(
    words, message, monkeypatch, capsys
):
    monkeypatch.setattr(sys, "argv", ["gpu.py", *words])
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(SystemExit) as end:
        gpu.main()
    assert end.value.code == 2 and message in capsys.readouterr().err


@pytest.mark.slow
def test_the_whole_script_runs_where_there_is_pytorch_alone(tmp_path):
    words = ["--device", "cpu", "--budget", "2", "--steps", "1000000"]
    words += ["--rounds", "1", "--shape", "20,4,3,8"]
    command = [sys.executable, "-c", BARE, *words]
    done = subprocess.run(command, cwd=root(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "not installed, stood in for: jaxtyping, safetensors" in done.stdout
    assert "scan and loop, GRU sharpened" in done.stdout
    assert "four UR side by side" in done.stdout or "stored before" in done.stdout
    assert "the budget is spent; " in done.stdout
    assert "'loss'" not in done.stdout  # no run was finished
