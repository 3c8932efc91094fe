"""The theme's icons, trimmed to those that pages show."""

from pathlib import Path

import sphinx_book_theme
from fontTools.ttLib import TTFont
from gatebook_book.site.icons import FOLDER, names_in, trim_site, trimmed

FACE = (
    "@font-face{font-family:Font Awesome\\ %s;src:url(../webfonts/fa-solid-900.woff2) "
    'format("woff2"),url(../webfonts/fa-solid-900.ttf) format("truetype")}'
)
SHEET = (
    f"{FACE % '5 Free'}{FACE % '6 Free'}.fa-lg{{font-size:1em}}"
    '.fa-find:before,.fa-search:before{content:"\\f002"}.fa-uber:before{content:"\\f402"}'
)
THEME = Path(sphinx_book_theme.__file__).parents[1] / "pydata_sphinx_theme"
STATIC = THEME / "theme/pydata_sphinx_theme/static/vendor/fontawesome"


def test_an_icon_that_is_used_under_one_of_its_names_stays_and_others_go():
    text, codes = trimmed(SHEET, names_in(['<i class="fa-solid fa-search">']), {"f05a"})
    assert '.fa-find:before,.fa-search:before{content:"\\f002"}' in text
    assert ".fa-lg{font-size:1em}" in text and "uber" not in text
    assert codes == {"f002", "f05a"}
    assert text.count("@font-face") == 1 and "Awesome\\ 6" in text
    assert 'src:url(../webfonts/fa-solid-900.woff) format("woff")}' in text


def test_a_site_keeps_small_fonts_with_the_icons_of_its_pages(tmp_path):
    version = next(STATIC.iterdir())
    copy(version, tmp_path / FOLDER / version.name)
    (tmp_path / "page.html").write_text('<i class="fa-brands fa-github"></i>')
    (tmp_path / "_static/own.css").write_text('.note::before{content:"\\f05a"}')
    trim_site(tmp_path)
    fonts = {f.name: f for f in (tmp_path / FOLDER).rglob("webfonts/*")}
    assert sum(f.stat().st_size for f in fonts.values()) < 10_000
    assert 0xF09B in letters(fonts["fa-brands-400.woff"])
    assert letters(fonts["fa-solid-900.woff"]) == [0xF05A]
    sheet = next((tmp_path / FOLDER).rglob("all.min.css")).read_text()
    assert ".fa-github:before" in sheet and ".fa-uber" not in sheet


def copy(folder: Path, to: Path) -> None:
    """The files of the theme that a site has."""
    for file in folder.rglob("*"):
        if file.is_file():
            target = to / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(file.read_bytes())


def letters(font: Path) -> list[int]:
    with TTFont(font) as opened:
        return [*opened.getBestCmap()]
