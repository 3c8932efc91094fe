"""Make a browser ready for the tests of the site, without asking for root.

The system's Chromium or Chrome is used if there is one. Else Linux on x86-64 takes a
headless Chromium from npm, by the version and hash in tests/browser/package-lock.json,
and other machines Playwright's own. axe-core comes along, which the tests check with.
"""

import platform
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from gatebook_book.site.node import tool
from vendor import ROOT, npm_ci

TESTS = ROOT / "tests/browser"
PACKED = TESTS / "node_modules/@sparticuz/chromium/bin"
UNPACKED = TESTS / "node_modules/chromium"
NAMES = ("chromium", "chromium-browser", "google-chrome")
UNPACK = (
    "const [from, to] = process.argv.slice(1);"
    "const packed = require('fs').readFileSync(from);"
    "require('fs').writeFileSync(to, require('zlib').brotliDecompressSync(packed));"
)
"""Brotli is Node's; Python has none."""


def main() -> None:
    """Look for a browser, and fetch one if there is none."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    linux = (platform.system(), platform.machine()) == ("Linux", "x86_64")
    npm_ci(TESTS, *(["--omit=optional"] if found or not linux else []))
    if not found and linux:
        found = str(unpack())
    if found:
        print(f"the site is tested with {found}")
        return
    install = [sys.executable, "-m", "playwright", "install", "chromium-headless-shell"]
    subprocess.run(install, check=True)


def unpack() -> Path:
    """Lay out npm's Chromium and the libraries that a bare machine lacks."""
    UNPACKED.mkdir(exist_ok=True)
    for name in ("chromium", "al2023.tar", "fonts.tar"):
        packed, target = PACKED / f"{name}.br", UNPACKED / name
        subprocess.run([tool("node"), "-e", UNPACK, packed, target], check=True)
        if target.suffix == ".tar":
            with tarfile.open(target) as archive:
                archive.extractall(UNPACKED, filter="data")
            target.unlink()
    (UNPACKED / "chromium").chmod(0o755)
    return UNPACKED / "chromium"


if __name__ == "__main__":
    main()
