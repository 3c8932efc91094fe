"""CONTRIBUTING: its tree is the repository's, and the files that it names exist."""

import re

from gatebook_book.paths import root

TEXT = (root() / "CONTRIBUTING.md").read_text()
TREE = re.search(r"```text\n(.*?)```", TEXT, re.DOTALL)[1]


def in_the_tree():
    """The paths of the tree, each with its folder before it."""
    above: list[str] = []
    for line in filter(None, TREE.splitlines()):
        depth = (len(line) - len(line.lstrip())) // 2
        above = [*above[:depth], line.split()[0].rstrip("/")]
        yield "/".join(above)


def test_the_tree_shows_what_there_is():
    missing = [path for path in in_the_tree() if not (root() / path).exists()]
    assert not missing


def test_the_tree_shows_every_package():
    shown = set(in_the_tree())
    packages = (root() / "src/lib").rglob("__init__.py")
    wanted = {str(file.parent.relative_to(root())) for file in packages}
    assert wanted <= shown


def test_the_files_that_contributing_names_exist():
    named = set(re.findall(r"`((?:src|tests|book|data|bench|tools)/[\w./-]+)`", TEXT))
    assert len(named) > 10
    assert not [path for path in named if not (root() / path).exists()]
