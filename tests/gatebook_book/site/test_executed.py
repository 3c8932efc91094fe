"""The table of executed pages, on a site of three."""

import re

import pytest
from gatebook.files import read_text
from gatebook_book.paths import root
from gatebook_book.site.executed import HEADS, Row, table
from myst_nb.sphinx_ import NbMetadataCollector
from sphinx.testing.util import SphinxTestApp

CONF = """extensions = ["myst_nb", "gatebook_book.site.executed"]
nb_execution_mode = "off"
source_suffix = {".md": "myst-nb"}
"""
HOME = """# Home

```{toctree}
second
first
```

```{executed-pages}
```
"""
RAN = {"mtime": 0, "method": "cache", "error": None, "traceback": None}


def note(app, env):
    """As if two of the pages had been executed."""
    second = RAN | {"runtime": 2.345, "succeeded": True}
    first = RAN | {"runtime": None, "succeeded": False, "error": "ValueError"}
    NbMetadataCollector.set_exec_data(env, "second", second)
    NbMetadataCollector.set_exec_data(env, "first", first)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page with the table."""
    source = tmp_path_factory.mktemp("site")
    (source / "conf.py").write_text(CONF)
    (source / "index.md").write_text(HOME)
    (source / "first.md").write_text("# One\n")
    (source / "second.md").write_text("# Two\n")
    app = SphinxTestApp(srcdir=source)
    app.connect("env-updated", note)
    app.build()
    yield read_text(source / "_build/html/index.html")
    app.cleanup()


def test_a_page_has_its_title_its_time_and_its_end_in_the_books_order(page):
    rows = re.findall(r"<tr.*?</tr>", page, re.DOTALL)
    words = [re.findall(r"<p>(.*?)</p>", row) for row in rows]
    assert [re.sub("<.*?>", "", " | ".join(row)) for row in words] == [
        " | ".join(HEADS),
        "Two | 2.3 | yes",
        "One | – | no: ValueError",
    ]


def test_a_title_leads_to_its_page(page):
    found = table([Row("a/b", "T", "1.0", "yes")], "../{}.html".format)
    assert 'refuri="../a/b.html"' in str(found)
    assert re.search(r'<td><p><a [^>]*href="second.html">Two</a>', page)


def test_the_book_has_the_table():
    assert "```{executed-pages}\n```" in read_text(root() / "book/statistics.md")
