"""A Sphinx extension: phones get the narrow form of a figure.

It lies in the figure's own file, where `gatebook_book.figures.narrow` has put it. Here
it becomes a file beside that one, and the page lets the browser choose.
"""

import re
from pathlib import Path

from gatebook.files import read_text
from sphinx.application import Sphinx

from gatebook_book.figures.narrow import CLOSE, FITS, OPEN

MARGIN = 15
"""Points that saving may add around a figure."""

PHONE = "(max-width: 576px)"
"""As in ``book.css``."""
IMAGE = re.compile(r'<img\b[^>]*\bsrc="([^"]*_images/([^"/]+)\.svg)"[^>]*>')


def split(figure: str) -> tuple[str, str]:
    """An SVG without its narrow form, and that form; empty if it has none.

    Example:
        >>> split(f"<svg>wide{OPEN}<svg>narrow</svg>{CLOSE}")
        ('<svg>wide</svg>', '<svg>narrow</svg>')
    """
    wide, found, rest = figure.partition(OPEN)
    if not found:
        return figure, ""
    second, _, end = rest.rpartition(CLOSE)
    return f"{wide}</svg>{end}", second.strip()


def fits(figure: str) -> bool:
    """Whether a phone shows an SVG legibly as it is."""
    width = re.search(r'<svg[^>]*\bwidth="([\d.]+)pt"', figure)
    return width is not None and float(width[1]) <= 72 * FITS + MARGIN


def split_files(images: Path) -> dict[str, str]:
    """Split the figures of a folder; by a figure's name, how it fits a phone.

    ``"narrow"`` if now there is a file ``<name>-narrow.svg``, ``"fits"`` if it needs
    none.
    """
    kinds = {}
    for file in sorted(images.glob("*.svg")):
        wide, second = split(read_text(file))
        if second:
            file.write_text(wide, encoding="utf-8")
            narrow = file.with_name(f"{file.stem}-narrow.svg")
            narrow.write_text(second + "\n", encoding="utf-8")
            kinds[file.stem] = "narrow"
        elif fits(wide):
            kinds[file.stem] = "fits"
    return kinds


def choosing(page: str, kinds: dict[str, str]) -> str:
    """The HTML of a page whose figures are shown in the form that fits."""

    def picture(found: re.Match[str]) -> str:
        kind = kinds.get(found[2])
        if kind is None:
            return found[0]
        second = found[1].removesuffix(".svg") + "-narrow.svg"
        source = f'<source media="{PHONE}" srcset="{second}">'
        return f"<picture>{source if kind == 'narrow' else ''}{found[0]}</picture>"

    return IMAGE.sub(picture, page)


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Do both once the site is written."""
    if exception is None and app.builder.format == "html":
        site = Path(app.outdir)
        kinds = split_files(site / "_images")
        for file in site.rglob("*.html"):
            page = read_text(file)
            changed = choosing(page, kinds)
            if changed != page:
                file.write_text(changed, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
