"""Formulas that are set when the site is built."""

from pathlib import Path

import pytest
from gatebook_book.site.formulas import formulas_of, set_formulas, set_site
from sphinx.errors import ExtensionError

PAGE = r"""<p>Let <span class="math notranslate nohighlight">\(f &lt; \tfrac12\)</span>,
not <code>\(f\)</code>.</p><div class="math notranslate nohighlight" id="equation-g">
<span class="eqno">(4.1)<a class="headerlink" href="#equation-g">#</a></span>\[g
 &amp;= 1\]</div>"""


def test_formulas_are_found_as_they_were_written_and_code_is_none():
    assert formulas_of(PAGE) == [(r"f < \tfrac12", False), ("g\n &= 1", True)]


def test_a_page_of_the_site_gets_them_as_html_with_its_numbers_and_a_style_sheet(
    tmp_path: Path,
):
    (tmp_path / "_static").mkdir()
    page = tmp_path / "page.html"
    page.write_text(PAGE.replace("&amp;= 1", "= 1"))
    set_site(tmp_path)
    text = page.read_text()
    assert text.count("<mjx-container") == 2 and text.count(r"\(") == 1  # in the code
    assert "(4.1)" in text and "<mfrac>" in text  # MathML, for screen readers
    sheet = (tmp_path / "_static/formulas.css").read_text()
    first = text.index('<span class="gatebook-marked">')
    assert first < text.index("<mjx-container") < text.index("</span>,</span>\nnot")
    fonts = "vendor/mathjax/es5/output/chtml/fonts/woff-v2/MathJax_Main-Regular.woff"
    assert fonts in sheet
    set_site(tmp_path)  # a page that was not written again stays as it is
    assert page.read_text() == text


def test_tex_with_an_error_stops_the_build_and_is_named():
    with pytest.raises(ExtensionError, match=r"\\frac\{1.*Missing close brace"):
        set_formulas([("x", False), (r"\frac{1", False)])
