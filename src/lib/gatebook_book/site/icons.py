"""A Sphinx extension: of the theme's icons only those that are used are shipped.

The theme brings 2,000 icons in three fonts and a style sheet, 400 kB that every page
loads. The pages show twenty of them.
"""

import re
from collections.abc import Iterable
from pathlib import Path

from fontTools import subset
from gatebook.files import read_text
from sphinx.application import Sphinx

FOLDER = "_static/vendor/fontawesome"
ICON = re.compile(
    r"(?<=\})((?:\.fa-[\w-]+:{1,2}before,?)+)\{content:\"\\([0-9a-f]+)\"\}"
)
"""In the style sheet: names of an icon, and its code."""
FONT = re.compile(
    r"url\([^)]*?([\w-]+)\.woff2\) format\(\"woff2\"\),url\([^)]*\.ttf\) "
    r"format\(\"truetype\"\)"
)
UNUSED = re.compile(
    r"@font-face\{[^}]*font-family:(?:Font Awesome\\ 5 \w+|FontAwesome);[^}]*\}"
)
"""Families of older versions."""


def names_in(texts: Iterable[str]) -> set[str]:
    """Names of icons in pages and scripts."""
    return {name for text in texts for name in re.findall(r"\bfa-[\w-]+", text)}


def codes_in(sheets: Iterable[str]) -> set[str]:
    """Codes of icons that other style sheets name."""
    return {code for text in sheets for code in re.findall(r"\\(f[0-9a-f]{3})\b", text)}


def trimmed(sheet: str, names: set[str], codes: set[str]) -> tuple[str, set[str]]:
    r"""The icons' style sheet with what is used of it, and the codes of these icons.

    Example:
        >>> trimmed('.a{}.fa-x:before,.fa-y:before{content:"\\f1"}', {"fa-y"}, set())
        ('.a{}.fa-x:before,.fa-y:before{content:"\\f1"}', {'f1'})
    """
    found = set(codes)

    def keep(rule: re.Match[str]) -> str:
        own = set(re.findall(r"\.(fa-[\w-]+)", rule[1]))
        if not own & names:
            return ""
        found.add(rule[2])
        return rule[0]

    kept = ICON.sub(keep, UNUSED.sub("", sheet))
    return FONT.sub(r'url(../webfonts/\1.woff) format("woff")', kept), found


def shrink(font: Path, codes: set[str]) -> None:
    """Leave a font with these letters in the place of one with all of them."""
    options = subset.Options(flavor="woff", desubroutinize=True, notdef_outline=True)
    chosen = subset.Subsetter(options)
    chosen.populate(unicodes=[int(code, 16) for code in codes])
    with subset.load_font(str(font), options) as made:
        chosen.subset(made)
        subset.save_font(made, str(font.with_suffix(".woff")), options)


def trim_site(site: Path) -> None:
    """Trim the icons of a site to those that its pages, scripts and sheets name."""
    files = [*site.rglob("*.html"), *site.glob("_static/**/*.js")]
    texts = (read_text(file) for file in files if "fontawesome" not in file.parts)
    names = names_in(texts)
    for sheet in site.glob(f"{FOLDER}/*/css/all.min.css"):
        others = [f for f in site.glob("_static/**/*.css") if f != sheet]
        text, codes = trimmed(read_text(sheet), names, codes_in(map(read_text, others)))
        sheet.write_text(text, encoding="utf-8")
        for font in sheet.parents[1].glob("webfonts/*.ttf"):
            shrink(font, codes)
        for file in sheet.parents[1].glob("*/*"):
            if file.suffix in (".woff2", ".ttf", ".js"):
                file.unlink()


def finish(app: Sphinx, exception: Exception | None) -> None:
    """Trim the icons, once all pages are there."""
    if exception is None and app.builder.format == "html":
        trim_site(Path(app.outdir))


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("build-finished", finish)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
