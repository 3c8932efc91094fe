"""Text is UTF-8 whatever the machine's locale says."""

import ast
from pathlib import Path

import pytest
from gatebook_book.site.imports import LIBRARY

SOURCES = sorted(LIBRARY.rglob("*.py"))
OTHERS = ("Image.open", "read_text")  # no text; gatebook.files' own, always UTF-8


def calls(source: Path):
    for node in ast.walk(ast.parse(source.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            yield name, node, {k.arg: k.value for k in node.keywords}


def is_binary(node):
    modes = [a.value for a in node.args[:2] if isinstance(a, ast.Constant)]
    return any(isinstance(m, str) and "b" in m and len(m) < 4 for m in modes)


@pytest.mark.parametrize("source", SOURCES, ids=lambda p: p.stem)
def test_every_file_and_process_that_is_read_as_text_names_its_encoding(source):
    for name, node, given in calls(source):
        file = name in ("read_text", "write_text", "open", "fdopen")
        file = file and ast.unparse(node.func) not in OTHERS and not is_binary(node)
        if file or "text" in given:
            assert "encoding" in given, f"{source}:{node.lineno}: {name}"
