"""A Sphinx extension: mends what the theme and myst-nb write into the pages.

Most of it comes from code, not from templates: myst-nb's cells, docutils' citations,
and the theme's function that lists its scripts. So no template can take its place.

The theme is pinned, and the tests in ``tests/browser`` find what is no longer mended.
"""

import re
from pathlib import Path

from gatebook.files import read_text
from sphinx.application import Sphinx

MARKER = '<script type="application/vnd.jupyter.widget-view+json">'
NOTE = (
    "<noscript><p>This interactive figure needs JavaScript. "
    "The text says what there is to see.</p></noscript>"
)

TEMPLATES = ("webpack-macros.html", "sbt-webpack-macros.html")
"""What the theme makes its pages with, and leaves among the files that they load."""

MENDED = {
    # A widget is nothing at all without JavaScript.
    re.escape(MARKER): NOTE + MARKER,
    # 1.5 MB of script, which every page waits for, draw the icons that a font has
    # drawn already. From a file the fonts cannot be fetched ahead, only used.
    r'<script src="[^"]*/fontawesome/[^"]*/all\.min\.js[^"]*"></script>': "",
    r'<link rel="preload" as="font"[^>]*/fontawesome/[^>]*>': "",
    # These labels hide the words that are read on the screen.
    r'<summary aria-label="Toggle hidden content">': "<summary>",
    r'(<button class="[^"]*search-button-field[^>]*) aria-label="Search"': r"\1",
    # The lines of a long signature are descriptions of nothing: no list, then.
    r'(<span class="sig-paren">\(</span>)\s*<dl>': r'\1<span class="sig-lines">',
    r'<dd>(<em class="sig-param">.*)</dd>': r"<span>\1</span>",
    r'</dl>\s*(<span class="sig-paren">\)</span>)': r"</span>\1",
    # A theorem can be linked to as a heading can.
    r'(<div class="proof \w+ admonition" id="([^"]+)">\s*<p class="admonition-title">'
    r"[\s\S]*?)(?=</p>)": r'\1<a class="headerlink" href="#\2" title="Link here">#</a>',
    # An id that every proof of a page has leads nowhere.
    r'(<div class="proof admonition") id="proof">': r"\1>",
    r'(<section class="\w+-content") id="proof-content">': r"\1>",
    # The entries are no items of a list; the roles that they have do without one.
    r'<div role="list" class="citation-list">': '<div class="citation-list">',
}


NUMBER = re.compile(r'<h1>(<span class="section-number">[^<]*</span>)')
PRINTED = re.compile(r'(?<=<div id="jb-print-docs-body" class="onlyprint">)\s*<h1>')


def mend(page: str) -> str:
    """The text of an HTML page with all replacements made."""
    for found, better in MENDED.items():
        page = re.sub(found, better, page)
    return number_printed(page)


def number_printed(page: str) -> str:
    """The page with its chapter's number in the heading that is for paper alone."""
    number = NUMBER.search(page)
    return PRINTED.sub(f"<h1>{number[1]}", page) if number else page


def leave_out_templates(site: Path) -> None:
    """Delete the theme's `TEMPLATES` from a site."""
    for template in TEMPLATES:
        (site / "_static" / template).unlink(missing_ok=True)


def mend_all(app: Sphinx, exception: Exception | None) -> None:
    """Mend each page of the site, once all are written."""
    if exception is None and app.builder.format == "html":
        leave_out_templates(Path(app.outdir))
        for file in Path(app.outdir).rglob("*.html"):
            file.write_text(mend(read_text(file)), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("build-finished", mend_all)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
