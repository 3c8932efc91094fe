"""What makes the book: data, runs, pages, sweeps, figures, widgets and the site.

The library that a model imports is `gatebook`; nothing there needs this package.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

_NEEDED = ("jupyter_book", "matplotlib", "papermill", "typer", "yaml")
"""Some of the packages of the extra ``book``; without it, they are missing."""


def need(extra: str, *packages: str) -> None:
    """Say how to install what an extra of gatebook brings.

    Raises:
        ImportError: if one of the packages is missing. The command ``gatebook`` ends
            with the same sentence.
    """
    for name in packages:
        if find_spec(name) is None:
            message = f'no package {name}; pip install "gatebook[{extra}]"'
            if Path(sys.argv[0]).stem == "gatebook":  # the command: no traceback
                sys.exit(f"error: {message}")
            raise ImportError(message, name=name)


need("book", *_NEEDED)
