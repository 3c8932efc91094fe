"""The Python that README and front page show is one text, and it runs."""

import re

import pytest
from gatebook.paths import root


def python_in(file):
    """The first block of Python in a text."""
    return re.search(r"```python\n(.*?)```", file.read_text(), re.DOTALL)[1]


@pytest.mark.parametrize("name", ["README.md", "book/index.md"])
def test_the_quick_start_runs(name, capsys):
    exec(python_in(root() / name), {})
    assert 0 < float(re.search(r"[\d.]+", capsys.readouterr().out)[0]) < 1


def test_readme_and_front_page_show_the_same_quick_start():
    assert python_in(root() / "README.md") == python_in(root() / "book/index.md")
