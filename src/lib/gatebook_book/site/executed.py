"""A Sphinx extension: the table of the pages that were executed.

myst-nb's own, ``nb-exec-table``, names a page by its file and marks its end by an
emoji, for which many readers have no font.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from docutils import nodes
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

HEADS = ("page", "seconds", "ran to its end")


class Row(NamedTuple):
    """A page's name and title, how long it ran, and whether to its end."""

    name: str
    title: str
    seconds: str
    ended: str


class Place(nodes.General, nodes.Element):
    """Where the table comes once all pages are read."""


class ExecutedPages(SphinxDirective):
    """The directive ``executed-pages``."""

    def run(self) -> list[nodes.Node]:
        """Keep the table's place."""
        return [Place()]


class FillPlaces(SphinxPostTransform):
    """Put the table in its place."""

    default_priority = 8  # as myst-nb's

    def run(self, **kwargs: object) -> None:
        """Go through one page."""
        for place in list(self.document.findall(Place)):
            place.replace_self(table(rows(self.env), self._address))

    def _address(self, name: str) -> str:
        return self.app.builder.get_relative_uri(self.env.docname, name)


def rows(env: BuildEnvironment) -> list[Row]:
    """The pages with code, in the book's order."""
    found = ((name, NbMetadataCollector.get_exec_data(env, name)) for name in _all(env))
    return [_row(env, name, data) for name, data in found if data]


def _all(env: BuildEnvironment) -> Iterator[str]:
    """The first page, and those of its table of contents; then what no table names."""
    waiting, seen = [env.config.root_doc], []
    while waiting:
        name = waiting.pop(0)
        if name not in seen:
            seen.append(name)
            waiting = env.toctree_includes.get(name, []) + waiting
    yield from seen
    yield from sorted(env.all_docs.keys() - set(seen))


def _row(env: BuildEnvironment, name: str, data: Any) -> Row:
    seconds = "–" if data["runtime"] is None else f"{data['runtime']:.1f}"
    ended = "yes" if data["succeeded"] else f"no: {data['error']}"
    return Row(name, env.titles[name].astext(), seconds, ended)


def table(found: list[Row], address: Callable[[str], str]) -> nodes.table:
    """A table whose first column links to the pages.

    Arguments:
        found: the pages.
        address: gives a page's address by its name.
    """
    head = nodes.row("", *map(_cell, map(nodes.Text, HEADS)))
    body = [
        nodes.row("", _cell(_link(row, address)), *map(_cell, map(nodes.Text, row[2:])))
        for row in found
    ]
    columns = [nodes.colspec(colwidth=1) for _ in HEADS]
    parts = [nodes.thead("", head), nodes.tbody("", *body)]
    group = nodes.tgroup("", *columns, *parts, cols=len(HEADS))
    return nodes.table("", group, classes=["colwidths-auto"])


def _link(row: Row, address: Callable[[str], str]) -> nodes.reference:
    return nodes.reference("", row.title, internal=True, refuri=address(row.name))


def _cell(content: nodes.Node) -> nodes.entry:
    return nodes.entry("", nodes.paragraph("", "", content))


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.add_node(Place)
    app.add_directive("executed-pages", ExecutedPages)
    app.add_post_transform(FillPlaces)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
