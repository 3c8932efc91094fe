"""What makes the book: data, runs, pages, sweeps, figures, widgets and the site.

The library that a model imports is `gatebook`; nothing there needs this package.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

_NEEDED = ("jupyter_book", "matplotlib", "papermill", "typer", "yaml")
"""Some of the packages of the extra ``book``; without it, they are missing."""

for _name in _NEEDED:
    if find_spec(_name) is None:
        _message = (
            f"gatebook_book needs the package {_name}, which the library does not; "
            'pip install "gatebook[book]"'
        )
        if Path(sys.argv[0]).stem == "gatebook":  # the command: no traceback
            sys.exit(f"error: {_message}")
        raise ImportError(_message, name=_name)
