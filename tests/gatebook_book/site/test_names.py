"""Short names on a page that a reader opens first."""

import re

import pytest
import yaml
from gatebook import GATES
from gatebook.files import read_text
from gatebook_book.paths import root
from gatebook_book.site.names import HOME, PAPERS, WORDS, code
from sphinx.testing.util import SphinxTestApp

CONF = """extensions = ["myst_parser", "gatebook_book.site.names"]
myst_enable_extensions = ["dollarmath"]
root_doc = "book/index"
"""
PAGE = """---
orphan: true
---
# P2 in a title, and UR

`P2` in code, then P2 in a sentence, and P2 again. [P3](index.md) is a link already.

`UR`, $UR$ and UR-s4, then a UR-LSTM and UR. An F-UR is none, nor is O(T). **G²** is.

| C |
|---|
| C |

A loop in C, C code, C++ and Appendix C. The gate C and its chrono start.
"""
GALLERY = """---
orphan: true
---
# The gallery

## LSTM: the standard gate

## C: chrono start

## O: ordered gates

## UR: uniform start and refine gate

UR is explained here.

## G2: Gumbel noise
"""


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the built pages."""
    source = tmp_path_factory.mktemp("site")
    (source / "book/reference").mkdir(parents=True)
    (source / "conf.py").write_text(CONF)
    home = "# Home\n\nP1, P2, P3, UR.\n\n## Three ideas\n"
    (source / "book/index.md").write_text(home)
    (source / "book/page.md").write_text(PAGE)
    (source / "book/reference/gallery.md").write_text(GALLERY, encoding="utf-8")
    app = SphinxTestApp(srcdir=source)
    app.build()
    yield source / "_build/html"
    app.cleanup()


@pytest.fixture(scope="module")
def page(site):
    """The page as it is built, without the tags that emphasise."""
    return re.sub("</?strong>", "", read_text(site / "book/page.html"))


def links(page, target):
    """The texts of all links to ``target``."""
    return re.findall(rf'<a [^>]*href="{re.escape(target)}"[^>]*>(.*?)</a>', page)


def test_the_first_name_in_a_sentence_and_no_other_leads_to_the_first_page(page):
    assert links(page, "index.html#three-ideas") == ["P2"]
    assert "then <a" in page and "and P2 again" in page
    assert f'title="{PAPERS["P2"]}"' in page


def test_the_first_page_is_the_books():
    assert yaml.safe_load(read_text(root() / "_toc.yml"))["root"] == HOME
    assert "\n## Three ideas\n" in read_text(root() / f"{HOME}.md")


def test_the_first_code_of_a_gate_in_a_sentence_leads_to_its_section(page, site):
    section = "reference/gallery.html#ur-uniform-start-and-refine-gate"
    assert links(page, section) == ["UR-LSTM"]
    assert 'title="UR: uniform start and refine gate"' in page
    assert "UR-s4, then a <a" in page
    assert "-LSTM</a> and UR." in page
    home = read_text(site / "book/index.html")
    assert links(home, section) == ["UR"]


def test_the_square_is_a_two(page):
    assert links(page, "reference/gallery.html#g2-gumbel-noise") == ["G²"]


def test_a_language_an_appendix_a_table_and_an_order_are_no_gates(page):
    assert links(page, "reference/gallery.html#c-chrono-start") == ["C"]
    assert "The gate <a" in page
    assert "O(T)" in page and "#o-ordered-gates" not in page.split("<h1")[1]


def test_the_gallery_does_not_link_to_itself(site):
    gallery = read_text(site / "book/reference/gallery.html")
    assert "UR is explained" in gallery and "gatebook-gate" not in gallery


def test_the_gallery_explains_every_code_in_words():
    gallery = read_text(root() / "book/reference/gallery.md")
    headed = re.findall(r"^## (\S+): [a-z]", gallery, re.MULTILINE | re.IGNORECASE)
    assert set(GATES) - set(WORDS) <= set(headed)


@pytest.mark.parametrize("text", ["UR-s4", "UR-GRU", "CUR", "URs", "UR(1)"])
def test_a_part_of_another_word_is_no_code(text):
    assert not re.search(code("UR"), text)
