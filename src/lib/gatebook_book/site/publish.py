"""What must hold before the site is published; the workflow runs the same.

Sphinx checks the references that it makes itself, and its link check asks other hosts.
Neither reads the pages as they are written, with the addresses of the theme, of widgets
and of downloads; that is done here. The weekly workflow asks the links to other sites.
"""

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gatebook.errors import check_choice
from gatebook.files import read_text

from gatebook_book.pages.execute import PageError
from gatebook_book.pages.pages import PROFILES
from gatebook_book.paths import root
from gatebook_book.runs.store import STORED, read
from gatebook_book.site.book import build

ELSEWHERE = re.compile(r"(https?:|file:)?//|file:", re.IGNORECASE)

IN_CSS = re.compile(r"""url\(\s*["']?([^"')]+)|@import\s+["']([^"']+)""")

LOADED = {"src", "srcset", "poster", "data"}
"""Attributes whose address a browser loads by itself."""

LINKS_LOADED = {"stylesheet", "icon", "preload", "modulepreload", "manifest"}
"""What a ``link`` must be to be loaded; others, such as ``canonical``, are not."""


def check(profile: str = "book") -> Path:
    """Check the lock, build the site, and follow all links within it.

    Arguments:
        profile: the pages' parameters.

    Returns:
        the site's folder.

    Raises:
        ValueError: for the profile smoke, whose figures say nothing.
        PageError: if the lock is not what is installed, if a page fails or has no
            output, if a link leads nowhere, or if a page asks another host.
    """
    check_choice("profile", profile, [name for name in PROFILES if name != "smoke"])
    _warn_of_edited_code()
    lock = [sys.executable, str(root() / "tools" / "lock.py"), "--check"]
    if subprocess.run(lock, cwd=root()).returncode:
        raise PageError("the lock is out of date; what differs is above")
    site = build(profile).parent
    broken = broken_links(site)
    if broken:
        raise PageError(f"{len(broken)} links lead nowhere:\n" + "\n".join(broken))
    foreign = foreign_files(site)
    if foreign:
        raise PageError(f"{len(foreign)} files from elsewhere:\n" + "\n".join(foreign))
    return site


def _warn_of_edited_code() -> None:
    """Name stored runs that no commit can repeat: the code had been edited."""
    for file in sorted((root() / STORED).rglob("*.json")):
        if str(read(file).get("commit")).endswith("+"):
            name = file.relative_to(root())
            print(f"warning: {name} was made by edited code", file=sys.stderr)


def foreign_files(site: Path) -> list[str]:
    """What pages and style sheets load from other hosts or from this machine's disk.

    A link that a reader may follow does not count.

    Returns:
        lines ``page: address``.
    """
    found = []
    for file in sorted([*site.rglob("*.html"), *site.rglob("*.css")]):
        text = read_text(file)
        loaded = _read(file).loaded if file.suffix == ".html" else set()
        loaded |= {a or b for a, b in IN_CSS.findall(text)}
        elsewhere = sorted(name for name in loaded if ELSEWHERE.match(name))
        found += [f"{file.relative_to(site)}: {name}" for name in elsewhere]
    return found


def broken_links(site: Path) -> list[str]:
    """Links and sources within a site that lead to no file or no place in one.

    Returns:
        lines ``page: link``.
    """
    site = site.resolve()
    # The theme leaves templates among its static files.
    files = sorted(site.rglob("*.html"))
    own = [f for f in files if f.relative_to(site).parts[0] != "_static"]
    pages = {file: _read(file) for file in own}
    return [
        f"{file.relative_to(site)}: {link}"
        for file, page in pages.items()
        for link in sorted(page.links)
        if not _leads_somewhere(file, link, site, pages)
    ]


def _leads_somewhere(
    file: Path, link: str, site: Path, pages: dict[Path, "_Links"]
) -> bool:
    parts = urlsplit(link)
    if parts.scheme or parts.netloc:
        return True  # elsewhere: asked once a week, for others' sites come and go
    path = unquote(parts.path)
    target = (file.parent / path).resolve() if path else file
    if target.is_dir():
        target = target / "index.html"
    if not target.is_file() or not target.is_relative_to(site):
        return False
    place = unquote(parts.fragment)
    return not place or target not in pages or place in pages[target].places


class _Links(HTMLParser):
    """A page's links, and the places in it that a link can name."""

    def __init__(self) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.places: set[str] = set()
        self.loaded: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        self.links |= {given[name] for name in ("href", "src") if name in given}
        for name in LOADED & given.keys():
            # "a.png 1x, b.png 2x" are two addresses; elsewhere a comma is part of one.
            parts = given[name].split(",") if name == "srcset" else [given[name]]
            self.loaded |= {part.split()[0] for part in parts if part.strip()}
        if tag == "link" and LINKS_LOADED & set(given.get("rel", "").split()):
            self.loaded.add(given.get("href", ""))


def _read(file: Path) -> _Links:
    page = _Links()
    page.feed(read_text(file))
    return page
