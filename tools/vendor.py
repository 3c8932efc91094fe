"""Fetch MathJax by the version and hash in package-lock.json, for the site to serve.

Only the files that a page loads are laid out, below ``node_modules/site``. npm checks
the hash, and knows the machine's proxy and mirror, which urllib does not.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MATHJAX = Path("mathjax/es5")
NEEDED = ("tex-chtml-full.js", "ui/lazy.js", "output/chtml/fonts/woff-v2")


def tool(name: str) -> str:
    """A command of Node.js: the system's, else the one that pip brought."""
    return shutil.which(name) or str(Path(sys.executable).with_name(name))


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
    """Install, then lay out what is needed."""
    npm_ci(ROOT)
    source, target = ROOT / "node_modules" / MATHJAX, ROOT / "node_modules/site/vendor"
    for name in NEEDED:
        place = target / MATHJAX / name
        place.parent.mkdir(parents=True, exist_ok=True)
        if (source / name).is_dir():
            shutil.copytree(source / name, place, dirs_exist_ok=True)
        else:
            shutil.copy(source / name, place)


if __name__ == "__main__":
    main()
