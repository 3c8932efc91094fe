"""Compiling a step: the cache, and machines without a compiler."""

import shutil
import subprocess
import sys

import pytest
import torch
from gatebook import GATES, LSTM, fused
from gatebook.fused import ways
from gatebook.fused.cpu import build
from gatebook.fused.trace import Options, Unprintable, trace
from gatebook.gates import Constant, Gate
from gatebook.recurrence.cells import LSTMCore


@pytest.fixture
def fresh(monkeypatch, tmp_path):
    """An empty cache, on disk and in memory."""
    monkeypatch.setenv("GATEBOOK_CACHE", str(tmp_path / "cache"))
    caches = (build.compiler, build._kernel, ways.warn)
    for cache in caches:
        cache.cache_clear()
    yield tmp_path / "cache"
    for cache in caches:
        cache.cache_clear()


def test_what_was_compiled_is_kept_and_used_again(fresh, monkeypatch):
    core = LSTMCore(GATES["UR"], 8)
    build.kernel(core, Options(), torch.float32)
    (file,) = fresh.iterdir()
    build._kernel.cache_clear()
    monkeypatch.setattr(build, "compile_to", None)  # calling it would fail
    build.kernel(core, Options(), torch.float32)
    assert [file] == list(fresh.iterdir())


def test_training_compiles_one_code_for_every_size_and_gradient_rule(fresh):
    for units, detach in ((8, 0.0), (5, 0.5), (300, 1.0)):
        LSTM(2, units, gate="UR", h_detach=detach)(torch.zeros(2, 1, 2))[
            0
        ].sum().backward()
    assert len(list(fresh.glob("*.so"))) == 1


@pytest.mark.parametrize(
    "around",
    [
        lambda: torch.autograd.graph.save_on_cpu(),
        lambda: torch.device("meta"),
        lambda: torch.inference_mode(),
    ],
)
def test_the_first_pass_may_be_under_anything(fresh, around):
    core = LSTMCore(GATES["UR"], 8)
    with around():
        build.kernel(core, Options(), torch.float32)
    assert len(list(fresh.glob("*.so"))) == 1


def test_without_a_compiler_the_loop_runs_and_says_so_once(fresh, monkeypatch):
    monkeypatch.setenv("CC", "/nowhere/cc")
    rnn, x = LSTM(2, 3, gate="UR"), torch.randn(4, 1, 2)
    with pytest.warns(UserWarning, match="reference loop runs.*slower"):
        y, _ = rnn(x)
    rnn(x)  # a second warning would be an error here
    with fused.reference():
        torch.testing.assert_close(y, rnn(x)[0])


def test_the_compilers_path_may_hold_spaces(fresh, monkeypatch):
    folder = fresh.parent / "my cc"
    folder.mkdir()
    (folder / "gcc").symlink_to(shutil.which("cc") or pytest.skip("no compiler"))
    for chosen in (
        f"{folder}/gcc",
        f"'{folder}/gcc' -O1",
        f"{folder}/gcc".replace(" ", "\\ "),
    ):
        monkeypatch.setenv("CC", chosen)
        build.compiler.cache_clear()
        assert build.compiler()[0] == f"{folder}/gcc"
    build.kernel(LSTMCore(GATES["LSTM"], 8), Options(), torch.float32)
    assert len(list(fresh.glob("*.so"))) == 1


def test_without_a_place_to_compile_the_loop_runs_too(fresh, monkeypatch):
    monkeypatch.setenv("GATEBOOK_CACHE", "/proc/nowhere")
    with pytest.warns(UserWarning, match=r"loop runs.*nowhere.*cannot be made or"):
        assert LSTM(2, 3, gate="UR")(torch.randn(4, 1, 2))[0].isfinite().all()


def test_a_compiled_file_that_is_cut_short_is_reported(fresh, monkeypatch):
    fresh.mkdir()
    monkeypatch.setattr(build, "compile_to", lambda text, file: file.touch())
    with pytest.warns(UserWarning, match="loop runs.*or loaded.*too short"):
        assert LSTM(2, 3, gate="UR")(torch.randn(4, 1, 2))[0].isfinite().all()


def test_pips_compiler_is_as_good(fresh, monkeypatch):
    monkeypatch.setattr(build.shutil, "which", lambda name: None)
    monkeypatch.delenv("CC", raising=False)
    assert "ziglang" in build.compiler()
    rnn, x = LSTM(2, 3, gate="UR"), torch.randn(4, 1, 2)
    y, _ = rnn(x)
    with fused.reference():
        torch.testing.assert_close(y, rnn(x)[0])


class _Odd(Constant):
    """A gate with an operation that has no line of C."""

    def forget(self, pre: torch.Tensor) -> torch.Tensor:
        return pre.erf() / 2 + 0.5


def test_a_gate_that_cannot_be_printed_runs_in_the_loop():
    gate = Gate(_Odd())
    with pytest.raises(Unprintable, match="erf"):
        trace(LSTMCore(gate, 4), Options())
    y, _ = LSTM(2, 3, gate=gate)(torch.zeros(2, 1, 2))
    assert y.isfinite().all()


def test_the_printed_step_has_no_gate_in_it_that_the_reference_has_not():
    step = trace(LSTMCore(GATES["UR"], 4), Options())
    text = "\n".join(step.forward.lines)
    assert text.count("sigmoid_") == 3 and text.count("tanh_") == 2


def test_the_library_starts_at_once():
    command = [sys.executable, "-X", "importtime", "-c", "import gatebook"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0
    for late in ("sympy", "datasets", "matplotlib", "IPython", "anywidget"):
        assert f" {late}\n" not in done.stderr, f"{late} is imported at the start"
