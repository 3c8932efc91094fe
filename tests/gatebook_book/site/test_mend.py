"""What is mended in the pages that the theme writes, and what is left alone."""

import pytest
from gatebook_book.site.mend import MARKER, NOTE, TEMPLATES, leave_out_templates, mend

ICONS = "../_static/vendor/fontawesome/6.5.2"


@pytest.mark.parametrize(
    ("written", "mended"),
    [
        (f"<p>{MARKER}{{}}</script>", f"<p>{NOTE}{MARKER}{{}}</script>"),
        (f'<script src="{ICONS}/js/all.min.js?digest=1"></script>', ""),
        (f'<link rel="preload" as="font" href="{ICONS}/webfonts/x.woff2" />', ""),
        ('<div role="list" class="citation-list">', '<div class="citation-list">'),
        ('<summary aria-label="Toggle hidden content">', "<summary>"),
        (
            '<span class="sig-paren">(</span>\n\n<dl>\n<dd><em class="sig-param">x'
            '</em>,</dd>\n</dl>\n\n<span class="sig-paren">)</span>',
            '<span class="sig-paren">(</span><span class="sig-lines">\n<span>'
            '<em class="sig-param">x</em>,</span>\n</span>'
            '<span class="sig-paren">)</span>',
        ),
        (
            '<div class="proof theorem admonition" id="thm-a">\n<p class="admonition-'
            'title"><span>Theorem 1 </span> (b)</p><p>c</p>',
            '<div class="proof theorem admonition" id="thm-a">\n<p class="admonition-'
            'title"><span>Theorem 1 </span> (b)<a class="headerlink" href="#thm-a" '
            'title="Link here">#</a></p><p>c</p>',
        ),
        (
            '<div class="proof admonition" id="proof">',
            '<div class="proof admonition">',
        ),
        (
            '<button class="btn search-button-field" title="Search" aria-label="Search"'
            ' data-bs-toggle="tooltip">',
            '<button class="btn search-button-field" title="Search"'
            ' data-bs-toggle="tooltip">',
        ),
    ],
)
def test_what_is_mended(written, mended):
    assert mend(written) == mended


PAPER = '<div id="jb-print-docs-body" class="onlyprint">\n <h1>Gates</h1>'
NUMBER = '<span class="section-number">4. </span>'


def test_the_heading_for_paper_has_the_chapters_number():
    shown = f"<h1>{NUMBER}Gates</h1>"
    printed = PAPER.replace("\n <h1>Gates</h1>", shown)
    assert mend(PAPER + shown) == printed + shown
    assert mend(f"{PAPER}<h1>Gates</h1>") == f"{PAPER}<h1>Gates</h1>"


def test_the_themes_templates_are_left_out(tmp_path):
    (tmp_path / "_static").mkdir()
    for name in (*TEMPLATES, "kept.html"):
        (tmp_path / "_static" / name).write_text("{% macro %}")
    leave_out_templates(tmp_path)
    leave_out_templates(tmp_path)
    assert [file.name for file in (tmp_path / "_static").iterdir()] == ["kept.html"]


@pytest.mark.parametrize(
    "kept",
    [
        f'<link href="{ICONS}/css/all.min.css" rel="stylesheet" />',
        '<script src="../_static/widgets.js"></script>',
        "<dl>\n<dt>a</dt>\n<dd><em>b</em></dd>\n</dl>",
        '<button class="btn search-button" aria-label="Search"></button>',
        '<script type="application/vnd.jupyter.widget-state+json">',
    ],
)
def test_what_is_left_alone(kept):
    assert mend(kept) == kept
