"""Where compiled steps are kept."""

import os
from pathlib import Path

import pytest
import torch
from gatebook import LSTM
from gatebook.fused import cache
from gatebook.fused.cpu import build


@pytest.fixture
def unnamed(monkeypatch, tmp_path):
    """No folder is named; the temporary files of a test lie in its own folder."""
    for name in ("GATEBOOK_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(cache.tempfile, "tempdir", str(tmp_path))
    cache._own.cache_clear()
    yield tmp_path
    cache._own.cache_clear()


def homeless():
    raise RuntimeError("Could not determine home directory.")


@pytest.mark.parametrize(
    ("platform", "expected"),
    [
        ("linux", ".cache/gatebook"),
        ("darwin", "Library/Caches/gatebook"),
        ("win32", "AppData/Local/gatebook"),
    ],
)
def test_each_system_has_its_own_folder(unnamed, monkeypatch, platform, expected):
    monkeypatch.setenv("HOME", str(unnamed))
    monkeypatch.setattr(cache.sys, "platform", platform)
    assert cache.cache_folder() == unnamed / expected


def test_variables_name_it(unnamed, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(unnamed / "xdg"))
    assert cache.cache_folder() == unnamed / "xdg/gatebook"
    monkeypatch.setenv("GATEBOOK_CACHE", str(unnamed / "own"))
    assert cache.cache_folder() == unnamed / "own"


def test_a_user_without_a_home_has_a_private_one(unnamed, monkeypatch):
    monkeypatch.setattr(Path, "home", homeless)
    folder = cache.cache_folder()
    assert folder.parent == unnamed and folder.stat().st_mode & 0o777 == 0o700
    assert cache.cache_folder() == folder


def test_a_home_that_cannot_be_written_to_is_as_none(unnamed, monkeypatch):
    monkeypatch.setenv("HOME", "/proc/nowhere")
    assert cache.cache_folder().parent == unnamed


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="needs POSIX permissions")
def test_no_code_is_loaded_from_a_folder_that_others_can_write_to(unnamed, monkeypatch):
    monkeypatch.setattr(Path, "home", homeless)
    shared = unnamed / f"gatebook-{os.getuid()}"
    shared.mkdir()
    shared.chmod(0o777)
    folder = cache.cache_folder()
    assert folder != shared and folder.stat().st_mode & 0o777 == 0o700
    assert cache.cache_folder() == folder


def test_a_user_that_the_system_does_not_know_computes(unnamed, monkeypatch):
    pwd = pytest.importorskip("pwd")
    monkeypatch.delenv("HOME")
    monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)  # as in a container
    build._kernel.cache_clear()
    LSTM(2, 3)(torch.zeros(4, 1, 2))  # a warning would be an error here
    assert len(list((unnamed / f"gatebook-{os.getuid()}").glob("*.so"))) == 1
    build._kernel.cache_clear()
