"""Files that are whole or not there at all, and files that are checked."""

import errno
import os
import resource
import subprocess
import sys

import numpy as np
import pytest
import torch
from gatebook.checked import read_checked, write_checked
from gatebook.files import FileError, to_json, write_atomic
from safetensors.torch import save_file


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


def test_a_real_limit_on_file_size_gives_a_clear_error(tmp_path):
    code = (
        "import resource, signal, sys\n"
        "from pathlib import Path\n"
        "from gatebook.files import write_atomic\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, (1000, {resource.RLIM_INFINITY}))\n"
        "write_atomic(Path(sys.argv[1]), b'x' * 5000)\n"
    )
    path = tmp_path / "file"
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True)
    assert done.returncode == 1
    assert b"cannot write: File too large" in done.stderr
    assert list(tmp_path.iterdir()) == []


# -- checked files -----------------------------------------------------------------


def test_what_is_written_comes_back(tmp_path):
    path = tmp_path / "m"
    x = torch.arange(6.0).view(2, 3)
    assert write_checked(path, {"x": x, "t": x.T}, {"a": "b"}) == path.stat().st_size
    header, tensors = read_checked(path)
    assert header == {"a": "b"}
    assert torch.equal(tensors["x"], x) and torch.equal(tensors["t"], x.T)


def test_each_damage_has_its_reason(tmp_path):
    path = tmp_path / "m"
    with pytest.raises(FileError, match="m is missing"):
        read_checked(path)
    write_checked(path, {"x": torch.zeros(3)}, {"a": "b"})
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(FileError, match="cannot be read"):
        read_checked(path)
    for other in (whole[:-1] + b"?", whole.replace(b'"b"', b'"c"')):
        path.write_bytes(other)
        with pytest.raises(FileError, match="altered: its SHA-256"):
            read_checked(path)
    save_file({"x": torch.zeros(3)}, path)  # has no sum
    with pytest.raises(FileError, match="altered: its SHA-256"):
        read_checked(path)


def test_another_kind_is_refused_before_the_sum_is_checked(tmp_path):
    path = tmp_path / "m"
    save_file({"x": torch.zeros(3)}, path)
    with pytest.raises(FileError, match="has the format None; allowed: 'mine 1'"):
        read_checked(path, "mine 1")
    write_checked(path, {"x": torch.zeros(3)}, {"format": "mine 1"})
    assert read_checked(path, "mine 1")[0] == {"format": "mine 1"}


def test_who_may_read_a_file_is_for_the_users_umask(tmp_path):
    before = os.umask(0o077)
    try:
        write_atomic(tmp_path / "mine", b"text")
    finally:
        os.umask(before)
    assert (tmp_path / "mine").stat().st_mode & 0o777 == 0o600


def test_numbers_of_numpy_become_json():
    assert to_json([np.int64(3), np.float32(0.5)]) == "[3, 0.5]"
    with pytest.raises(TypeError, match="is no JSON value"):
        to_json(object())
