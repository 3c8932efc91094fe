"""A Sphinx extension: short names, explained where a page first has them.

Who comes to a page from a search engine has read no other. So "P2" and "UR" are links
there, once a page: to the papers on the first page, and to the gate in the gallery.
The link's title says what it is.
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from docutils import nodes
from gatebook import GATES
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

PAPERS = {
    "P1": "Li et al. 2018, Towards binary-valued gates for robust LSTM training",
    "P2": "Gu et al. 2020, Improving the gating mechanism of recurrent neural networks",
    "P3": "Didolkar 2019, h-detach: Modifying the LSTM gradient",
}
HOME = "book/index"
"""The page that introduces them."""

GALLERY = "book/reference/gallery"
"""The page with a section for each gate, headed "UR: uniform start and refine gate"."""
REFERENCE = "book/reference/"
"""The gallery's folder, where letters are also those of docstrings: O(T), in C."""
WORDS = ("LSTM", "sharpened")
"""Gates whose names are words of the text, not codes."""

LEAVE = (
    nodes.title,
    nodes.reference,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.raw,
    nodes.table,
)
"""Where no link may stand."""


class Link(NamedTuple):
    """What is found, where the link leads, what its title says, and its class."""

    pattern: str
    target: str
    words: str
    classes: tuple[str, ...] = ()


class Names(SphinxPostTransform):
    """Link each short name at its first place in the text of a page."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Go through one page."""
        for link in (*self.papers(), *self.gates()):
            link_first(self.document, link)

    def papers(self) -> Iterator[Link]:
        """The papers' names, but on the first page itself."""
        page = self.env.docname
        if page != HOME and HOME in self.env.all_docs:
            target = self.app.builder.get_relative_uri(page, HOME) + "#three-ideas"
            for name, paper in PAPERS.items():
                yield Link(rf"\b{name}\b", target, paper)

    def gates(self) -> Iterator[Link]:
        """The gates' codes, but on the pages of the reference."""
        page = self.env.docname
        if not page.startswith(REFERENCE):
            for name, (anchor, heading) in headings(self.env).items():
                target = self.app.builder.get_relative_uri(page, GALLERY) + anchor
                yield Link(code(name), target, heading, ("gatebook-gate",))


def headings(env: BuildEnvironment) -> dict[str, tuple[str, str]]:
    """Anchor and heading of each gate's section in the gallery, if it has a code."""
    found = {}
    for entry in env.tocs.get(GALLERY, nodes.bullet_list()).findall(nodes.reference):
        name = entry.astext().split(":")[0]
        if name in GATES and name not in WORDS:
            found[name] = (entry["anchorname"], entry.astext())
    return found


def code(name: str) -> str:
    """A pattern for a gate's code: UR and UR-LSTM, not UR-s4, nor C as a language.

    Example:
        >>> [m[0] for m in re.finditer(code("C"), "Loops in C, C code; C has a C-d.")]
        ['C']
    """
    sign = name.replace("2", "[2²]")  # G2 is written G² in the text
    no_gate = r"(?<!\bin )(?<!\binto )(?<!\blines of )(?<!Appendix )"
    no_part = r"(?![\w(+-]|\s(?:code|file|library)\b)"
    return rf"(?<![\w-]){no_gate}{sign}(?:-LSTM)?{no_part}"


def link_first(page: nodes.document, link: Link) -> None:
    """Make what the page's paragraphs first have of ``link.pattern`` a link."""
    for text in page.findall(nodes.Text):
        found = re.search(link.pattern, text)
        if found and _in_prose(text):
            before, after = text[: found.start()], text[found.end() :]
            made = nodes.reference(
                "",
                found[0],
                internal=True,
                refuri=link.target,
                reftitle=link.words,
                classes=[*link.classes],
            )
            text.parent.replace(text, [nodes.Text(before), made, nodes.Text(after)])
            return


def _in_prose(text: nodes.Text) -> bool:
    parents, node = [], text.parent
    while node is not None:
        parents.append(node)
        node = node.parent
    prose = any(isinstance(node, nodes.paragraph) for node in parents)
    return prose and not any(isinstance(node, LEAVE) for node in parents)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.add_post_transform(Names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
