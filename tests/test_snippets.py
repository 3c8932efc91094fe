"""Python that README, front page and pages show: one text, and it runs."""

import re

import pytest
import torch
from gatebook import compress
from gatebook_book.paths import root


def python_in(file):
    """The first block of Python in a text."""
    return re.search(r"```python\n(.*?)```", file.read_text(), re.DOTALL)[1]


@pytest.mark.parametrize("name", ["README.md", "book/index.md"])
def test_the_quick_start_runs(name, capsys):
    exec(python_in(root() / name), {})
    assert 0 < float(re.search(r"[\d.]+", capsys.readouterr().out)[0]) < 1


def test_readme_and_front_page_show_the_same_quick_start():
    assert python_in(root() / "README.md") == python_in(root() / "book/index.md")


def test_the_training_of_the_reference_runs():
    text = python_in(root() / "book/reference/training.md")
    shorter = text.replace("steps=1000", "steps=2").replace("length=20", "length=2")
    assert shorter != text
    names: dict = {}
    exec(shorter, names)
    assert names["history"].step == 2


def test_the_agent_of_the_reference_runs(capsys):
    text = python_in(root() / "book/reference/agents.md")
    shorter = text.replace("updates=500", "updates=2")
    assert shorter != text
    names: dict = {}
    exec(shorter, names)
    assert names["history"].step == 2
    assert "random choice" in capsys.readouterr().out


def test_three_lines_compress_a_users_own_lstm(tmp_path):
    page = (root() / "book/compression/language.md").read_text()
    lines = re.search(r"^small = .*\n.*\nagain = .*$", page, re.MULTILINE)[0]
    yours, x = torch.nn.LSTM(20, 30), torch.randn(5, 2, 20)
    own = {"compress": compress, "yours": yours, "file": tmp_path / "small"}
    exec(lines, own)
    assert torch.equal(own["again"](x)[0], own["small"].model(x)[0])
    assert own["file"].stat().st_size < sum(p.nbytes for p in yours.parameters())
