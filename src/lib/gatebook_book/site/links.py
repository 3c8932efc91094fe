"""A Sphinx extension: what a link to a page shows in a search engine or a chat.

The description is a page's answer in one sentence, or its first paragraph. The picture
is the same for all pages, and drawn when the site is built.
"""

import html
import re
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from docutils import nodes
from sphinx.application import Sphinx

from gatebook_book.figures import cell, plots

CARD = "_static/card.png"
LONGEST = 200
"""Letters of a description, about what is shown of it."""


def description(page: nodes.document) -> str:
    """The first paragraph of the page's box, or of the page; empty for one without."""
    boxes = page.findall(nodes.admonition)
    for part in (*boxes, page):
        for paragraph in part.findall(nodes.paragraph):
            return _shortened(_words(paragraph))
    return ""


def _words(paragraph: nodes.paragraph) -> str:
    """Text without the signs of formulas."""
    return " ".join(paragraph.astext().replace("\\", "").split())


def _shortened(text: str) -> str:
    if len(text) <= LONGEST:
        return text
    return text[: LONGEST - 1].rsplit(" ", 1)[0] + "…"


def describe(
    app: Sphinx, pagename: str, template: str, context: dict[str, Any], doctree: Any
) -> None:
    """Add the page's description and card to its head."""
    if doctree is None:
        return
    base = str(app.config.html_baseurl)
    title = html.unescape(re.sub(r"<[^>]*>", "", f"{context['title']} · gatebook"))
    found = {
        "og:type": "article",
        "og:site_name": "gatebook",
        "og:title": title,
        "og:description": description(doctree),
        "og:url": base + app.builder.get_target_uri(pagename),
        "og:image": base + CARD,
    }
    tags = [
        f'<meta property="{k}" content="{html.escape(v)}">' for k, v in found.items()
    ]
    words = html.escape(found["og:description"])
    tags.append(f'<meta name="description" content="{words}">')
    tags.append('<meta name="twitter:card" content="summary_large_image">')
    context["metatags"] = context.get("metatags", "") + "\n" + "\n".join(tags)


def draw_card(app: Sphinx, exception: Exception | None) -> None:
    """Leave the picture of 1200 by 630 pixels among the site's files."""
    if exception is not None or app.builder.format != "html":
        return
    file = Path(app.outdir) / CARD
    file.parent.mkdir(parents=True, exist_ok=True)
    with plt.rc_context():
        plots.use_house_style()
        figure = cell.draw("refined")
        figure.set_size_inches(6.4, 3.36)
        figure.set_layout_engine("constrained", rect=(0.02, 0.03, 0.96, 0.93))
        title = "gatebook: LSTM gates, proved, run and checked"
        figure.suptitle(title, fontsize=15, color="black", weight="bold")
        figure.savefig(file, dpi=187.5, facecolor="white", transparent=False)
    plt.close(figure)


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("html-page-context", describe)
    app.connect("build-finished", draw_card)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
