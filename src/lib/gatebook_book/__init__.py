"""What makes the book: data, runs, pages, sweeps, figures, widgets and the site.

The library that a model imports is `gatebook`; nothing there needs this package.
"""

from importlib.util import find_spec

_NEEDED = ("jupyter_book", "matplotlib", "papermill", "typer", "yaml")
"""Some of the packages of the extra ``book``; without it, they are missing."""

for _name in _NEEDED:
    if find_spec(_name) is None:
        raise ImportError(
            f"gatebook_book needs the package {_name}, which the library does not; "
            'pip install "gatebook[book]"',
            name=_name,
        )
