"""Files that are whole or not there at all."""

import errno
import os
import resource
import subprocess
import sys

import pytest
import torch
from gatebook import LSTM
from gatebook.checkpoint import load_checkpoint, save_checkpoint, write_atomic
from safetensors import safe_open


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "new" / "file"
    write_atomic(path, b"one")
    write_atomic(path, b"two")
    assert path.read_bytes() == b"two"
    assert [p.name for p in path.parent.iterdir()] == ["file"]


def test_a_full_disk_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "file"
    write_atomic(path, b"old")

    def full(handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="cannot write: No space left") as error:
        write_atomic(path, b"new")
    assert str(path) in str(error.value)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_real_limit_on_file_size_is_told_plainly(tmp_path):
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from gatebook.checkpoint import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "write_atomic(Path(sys.argv[1]), b'x' * 5000)\n"
    )
    path = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True)
    assert done.returncode == 1
    assert b"cannot write: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_everything_comes_back_and_nothing_is_pickled(tmp_path):
    model = LSTM(2, 4, gate="G2", seed=0)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(3, 2, 2))[0].sum().backward()
    optimizer.step()
    path = tmp_path / "c.safetensors"
    save_checkpoint(path, model, optimizer, {"step": 1, "curves": {"loss": [0.5]}})
    noise, chance = model(torch.ones(3, 2, 2))[0], torch.rand(3)

    twin = LSTM(2, 4, gate="G2", seed=9)
    later = torch.optim.Adam(twin.parameters())
    assert load_checkpoint(path, twin, later) == {"step": 1, "curves": {"loss": [0.5]}}
    assert torch.equal(twin(torch.ones(3, 2, 2))[0], noise)
    assert torch.equal(torch.rand(3), chance)
    before, after = optimizer.state_dict()["state"], later.state_dict()["state"]
    for index, state in before.items():
        for key, value in state.items():
            assert torch.equal(value, after[index][key])
    with safe_open(path, "pt") as file:
        assert "model.weight_ih_l0" in file.keys()  # noqa: SIM118
