"""A Sphinx extension: the papers' short names, explained where a page first has them.

Who comes to a page from a search engine has not read the first page. So "P2" is a link
there, once a page, and the paper stands in its title.
"""

import re

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

PAPERS = {
    "P1": "Li et al. 2018, Towards binary-valued gates for robust LSTM training",
    "P2": "Gu et al. 2020, Improving the gating mechanism of recurrent neural networks",
    "P3": "Didolkar 2019, h-detach: Modifying the LSTM gradient",
}
HOME = "index"
"""The page that introduces them."""

LEAVE = (nodes.title, nodes.reference, nodes.literal, nodes.literal_block, nodes.raw)
"""Where no link may stand."""


class Names(SphinxPostTransform):
    """Link each paper's name at its first place in the text of a page."""

    default_priority = 900
    formats = ("html",)

    def run(self, **kwargs: object) -> None:
        """Go through one page, unless it is the first page itself."""
        page = self.env.docname
        if page == HOME or HOME not in self.env.all_docs:
            return
        target = self.app.builder.get_relative_uri(page, HOME) + "#three-ideas"
        for name, paper in PAPERS.items():
            link_first(self.document, name, paper, target)


def link_first(page: nodes.document, name: str, paper: str, target: str) -> None:
    """Make the first ``name`` in the page's paragraphs a link to ``target``."""
    for text in page.findall(nodes.Text):
        found = re.search(rf"\b{name}\b", text)
        if found and _in_prose(text):
            before, after = text[: found.start()], text[found.end() :]
            link = nodes.reference(
                "", name, internal=True, refuri=target, reftitle=paper
            )
            text.parent.replace(text, [nodes.Text(before), link, nodes.Text(after)])
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
