"""What is mended in the pages that the theme writes, and what is left alone."""

import pytest
from gatebook_book.site.mend import MARKER, NOTE, mend

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
