"""What a link to a page shows elsewhere."""

import re

import pytest
from gatebook_book.paths import root
from sphinx.testing.util import SphinxTestApp

CONF = """
extensions = ["myst_parser", "gatebook_book.site.links"]
html_baseurl = "https://a.org/b/"
myst_enable_extensions = ["dollarmath"]
"""
BOX = """# A page

```{admonition} In one sentence
Gates & "bands" keep $x$.

More.
```

Text.
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """A site of two pages."""
    source = tmp_path_factory.mktemp("site")
    (source / "conf.py").write_text(CONF)
    chapters = "\n```{toctree}\n:numbered:\nchapter\n```\n"
    (source / "index.md").write_text(BOX + chapters)
    (source / "chapter.md").write_text("# Gates & bands\n\nWords.\n")
    long = "word " * 100
    (source / "plain.md").write_text(f"---\norphan: true\n---\n# Plain\n\n{long}\n")
    app = SphinxTestApp(srcdir=source)
    app.build()
    yield source / "_build/html"
    app.cleanup()


def content(page, name):
    found = re.search(rf'<meta (?:property|name)="{name}" content="([^"]*)">', page)
    return found and found[1]


def test_the_box_describes_a_page(built):
    page = (built / "index.html").read_text()
    words = "Gates &amp; “bands” keep x."
    assert content(page, "description") == content(page, "og:description") == words
    assert content(page, "og:title") == "A page · gatebook"
    assert content(page, "og:url") == "https://a.org/b/index.html"


def test_the_title_of_a_numbered_page_is_text(built):
    page = (built / "chapter.html").read_text()
    assert content(page, "og:title") == "1. Gates &amp; bands · gatebook"


def test_a_page_without_one_is_described_by_its_first_words(built):
    words = content((built / "plain.html").read_text(), "description")
    assert words.startswith("word word") and len(words) <= 200 and words[-1] == "…"


def test_the_card_is_there_in_the_size_that_is_asked_for(built):
    data = (built / "_static/card.png").read_bytes()
    assert data[:4] == b"\x89PNG"
    width, height = (int.from_bytes(data[k : k + 4], "big") for k in (16, 20))
    assert (width, height) == (1200, 630)
    assert "_static/card.png" in (built / "index.html").read_text()


def test_the_book_uses_it():
    assert "gatebook_book.site.links" in (root() / "_config.yml").read_text()
