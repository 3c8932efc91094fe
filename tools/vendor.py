"""Fetch MathJax by the version and hash in package-lock.json, to set formulas with.

A page loads its fonts alone, which are laid out below ``node_modules/site``. npm checks
the hash, and knows the machine's proxy and mirror, which urllib does not.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from gatebook_book.site.node import tool

ROOT = Path(__file__).resolve().parent.parent
MATHJAX = Path("mathjax/es5")
FONTS = MATHJAX / "output/chtml/fonts/woff-v2"


def npm_ci(folder: Path, *options: str) -> None:
    """Install what a folder's package-lock.json says."""
    # npm is a script that looks for node on the path.
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    command = [tool("npm"), "ci", "--ignore-scripts", "--no-audit", "--no-fund"]
    environment = os.environ | {"PATH": path}
    subprocess.run(
        [*command, *options], cwd=folder, env=environment, check=True, stdout=sys.stderr
    )


def main() -> None:
    """Install, then lay the fonts out."""
    npm_ci(ROOT)
    site = ROOT / "node_modules/site/vendor"
    shutil.rmtree(site, ignore_errors=True)
    shutil.copytree(ROOT / "node_modules" / FONTS, site / FONTS)


if __name__ == "__main__":
    main()
