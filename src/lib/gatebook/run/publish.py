"""What must hold before the site is published; the workflow runs the same."""

import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

from gatebook.paths import root
from gatebook.run.book import build
from gatebook.run.execute import PageError


def check(profile: str = "book") -> Path:
    """Check the lock, build the site, and follow all links within it.

    Arguments:
        profile: the pages' parameters.

    Returns:
        the site's folder.

    Raises:
        PageError: if the lock is not what is installed, if a page fails or has no
            output, or if a link leads nowhere.
    """
    lock = [sys.executable, str(root() / "tools" / "lock.py"), "--check"]
    if subprocess.run(lock, cwd=root()).returncode:
        raise PageError("the lock is out of date; what differs is above")
    site = build(profile).parent
    broken = broken_links(site)
    if broken:
        raise PageError(f"{len(broken)} links lead nowhere:\n" + "\n".join(broken))
    return site


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

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        self.places |= {given[name] for name in ("id", "name") if name in given}
        self.links |= {given[name] for name in ("href", "src") if name in given}


def _read(file: Path) -> _Links:
    page = _Links()
    page.feed(file.read_text())
    return page
