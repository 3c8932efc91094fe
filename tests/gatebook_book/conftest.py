"""A small book in a temporary folder, for the runner and the builder."""

import sys
from pathlib import Path

import pytest
from gatebook_book.cli import main

PAGE = """---
jupytext:
  text_representation: {{extension: .md, format_name: myst}}
kernelspec: {{display_name: Python 3, language: python, name: python3}}
---

# {title}

```{{code-cell}} ipython3
:tags: [parameters]

steps: int = 3  # how long
rate: float = 0.5  # how fast
gates: list[str] = ["LSTM"]  # which
fast: bool = False  # whether
```

```{{code-cell}} ipython3
{code}
```
"""


@pytest.fixture
def book(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A book of two pages with code and one without."""
    pages = {
        "first": "from gatebook.gates import GATES\nprint(steps * 2, gates, rate)",
        "second": "from gatebook import errors\nprint(steps)",
    }
    folder = tmp_path / "book"
    (folder / "profiles").mkdir(parents=True)
    for name, code in pages.items():
        (folder / f"{name}.md").write_text(PAGE.format(title=name, code=code))
    (folder / "plain.md").write_text("# Plain\n\nNo code.\n")
    for profile, text in {
        "smoke": "first: {steps: 1}\n",
        "book": "first: {}\n",
        "laptop": "first: {steps: 7, gates: [LSTM, UR]}\n",
        "paper": "",
    }.items():
        (folder / "profiles" / f"{profile}.yaml").write_text(text)
    (tmp_path / "_toc.yml").write_text(
        "format: jb-book\nroot: book/plain\nparts:\n- chapters:\n"
        "  - file: book/first\n  - file: book/second\n"
    )
    (tmp_path / "requirements.lock").write_text("torch==2.13.0\n")
    monkeypatch.setenv("GATEBOOK_ROOT", str(tmp_path))
    return tmp_path


@pytest.fixture
def cli(monkeypatch, capsys):
    """The command line in this process: exit code, output, errors."""

    def call(*words):
        monkeypatch.setattr(sys, "argv", ["gatebook", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return end.value.code, *capsys.readouterr()

    return call
