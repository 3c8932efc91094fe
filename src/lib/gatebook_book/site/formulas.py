"""A Sphinx extension: formulas are set when the site is built, not in the browser.

A long page has hundreds of them, which a browser sets in seconds, while the text jumps.
Sphinx leaves TeX on the pages for MathJax, which finds it here, once all are written.
What stays for the reader is HTML, a style sheet and fonts.
"""

import html
import json
import re
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from gatebook.files import read_text, write_atomic
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError
from sphinx.ext.mathjax import html_visit_displaymath, html_visit_math

from gatebook_book.paths import root
from gatebook_book.site.node import tool

Formula = tuple[str, bool]
"""TeX, and whether it stands in a line of its own."""

MATHJAX = "node_modules/mathjax/es5"
FONTS = "vendor/mathjax/es5/output/chtml/fonts/woff-v2"
SHEET = "formulas.css"
INLINE, DISPLAY = r"\\\((.+?)\\\)", r"\\\[(.+?)\\\]"
WRITTEN = re.compile(
    rf'(<(?:span|div) class="math[^"]*"[^>]*>\s*(?:<span class="eqno">.*?</span>)?)'
    rf"(?:{INLINE}|{DISPLAY})",
    re.DOTALL,
)
"""A formula as Sphinx writes it: the tag, a number, and the TeX in its brackets."""

MARKED = re.compile(
    r'(<span class="math[^"]*"[^>]*>\s*\\\([^<]{1,40}?\\\)\s*</span>[,.;:!?)]+)'
)
"""A short formula in a line of text, and the marks behind it."""


def set_formulas(
    formulas: Sequence[Formula], fonts: str = FONTS
) -> tuple[list[str], str]:
    """Formulas as HTML, and the style sheet that all of them need.

    Arguments:
        formulas: what to set.
        fonts: where the style sheet finds MathJax's fonts.

    Raises:
        ExtensionError: for TeX with an error in it, or without MathJax.
        FileNotFoundError: without Node.js.

    Example:
        >>> set_formulas([("x^2", False)])[0][0][:30]
        '<mjx-container class="MathJax"'
    """
    script = Path(__file__).with_suffix(".mjs")
    command = [tool("node"), str(script), str(root() / MATHJAX), fonts]
    done = subprocess.run(
        command, input=json.dumps(formulas), capture_output=True, encoding="utf-8"
    )
    if done.returncode != 0:
        raise ExtensionError(f"formulas cannot be set: {done.stderr.strip()}")
    made = json.loads(done.stdout)
    for (tex, _), element in zip(formulas, made["html"], strict=True):
        if wrong := re.search(r'data-mjx-error="([^"]*)"', element):
            raise ExtensionError(f"formula {tex!r}: {html.unescape(wrong[1])}")
    return made["html"], made["css"]


def formulas_of(page: str) -> list[Formula]:
    """The formulas that stand on a page as TeX."""
    return [_formula(found) for found in WRITTEN.finditer(page)]


def _formula(found: re.Match[str]) -> Formula:
    _, inline, display = found.groups()
    return html.unescape(inline or display).strip(), inline is None


def with_formulas(page: str, made: dict[Formula, str]) -> str:
    """The page with each formula as HTML in the place of its TeX.

    No line begins with the comma that follows a short one.
    """
    page = MARKED.sub(r'<span class="gatebook-marked">\1</span>', page)
    return WRITTEN.sub(lambda found: found[1] + made[_formula(found)], page)


def set_site(site: Path) -> None:
    """Set the formulas of all pages below a folder that were written anew."""
    pages = {file: read_text(file) for file in site.rglob("*.html")}
    needed = list(dict.fromkeys(_all(map(formulas_of, pages.values()))))
    elements, sheet = set_formulas(needed)
    made = dict(zip(needed, elements, strict=True))
    for file, page in pages.items():
        if formulas_of(page):
            pages[file] = with_formulas(page, made)
            write_atomic(file, pages[file].encode())
    sheet = used_of(re.sub(r"\s+", " ", sheet), pages.values())
    write_atomic(site / "_static" / SHEET, sheet.encode())


def used_of(sheet: str, pages: Iterable[str]) -> str:
    """The style sheet without the letters that no page has.

    Example:
        >>> used_of("a {} mjx-c.mjx-c41::before {} mjx-c.mjx-c42.TEX-I::before {}",
        ...     ['<mjx-c class="mjx-c42 TEX-I">'])
        'a {} mjx-c.mjx-c42.TEX-I::before {}'
    """
    used = {
        word for page in pages for word in re.findall(r'"(mjx-c[0-9A-F].*?)"', page)
    }
    used |= {word.split()[0] for word in used}

    def keep(rule: re.Match[str]) -> str:
        return rule[0] if rule[1].replace(".", " ") in used else ""

    return re.sub(r" mjx-c\.(mjx-c[0-9A-F.\w-]+)::before \{[^}]*\}", keep, sheet)


def _all(lists: Iterable[list[Formula]]) -> Iterable[Formula]:
    return (formula for found in lists for formula in found)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Set them once all pages are there."""
    if exception is None and app.builder.format == "html":
        set_site(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    inline, display = (html_visit_math, None), (html_visit_displaymath, None)
    app.add_html_math_renderer("built", inline, display)
    app.add_css_file(SHEET)
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
