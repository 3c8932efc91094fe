"""The papers' short names on a page that a reader opens first."""

import re

import pytest
from gatebook_book.site.names import PAPERS
from sphinx.testing.util import SphinxTestApp

CONF = 'extensions = ["myst_parser", "gatebook_book.site.names"]\n'
PAGE = """---
orphan: true
---
# P2 in a title

`P2` in code, then P2 in a sentence, and P2 again. [P3](index.md) is a link already.
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page as it is built."""
    source = tmp_path_factory.mktemp("site")
    (source / "conf.py").write_text(CONF)
    (source / "index.md").write_text("# Home\n\nP1, P2, P3.\n\n## Three ideas\n")
    (source / "page.md").write_text(PAGE)
    app = SphinxTestApp(srcdir=source)
    app.build()
    yield (source / "_build/html/page.html").read_text()
    app.cleanup()


def test_the_first_name_in_a_sentence_and_no_other_leads_to_the_first_page(page):
    links = re.findall(r'<a [^>]*href="index.html#three-ideas"[^>]*>(.*?)</a>', page)
    assert links == ["P2"]
    assert "then <a" in page and "and P2 again" in page
    assert f'title="{PAPERS["P2"]}"' in page
