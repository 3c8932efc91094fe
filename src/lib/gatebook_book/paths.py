"""Where the book's folders are, seen from a page, a test or the command line."""

import os
from pathlib import Path

from gatebook_book.context import current


def root() -> Path:
    """The folder that holds ``_toc.yml``.

    The runner names it to its pages; else ``GATEBOOK_ROOT`` does if it is set; else it
    is looked for upwards from the working folder, then upwards from this file (an
    editable install).

    Raises:
        FileNotFoundError: if there is none.
    """
    if name := current().root:
        return Path(name).resolve()
    if name := os.environ.get("GATEBOOK_ROOT"):
        if not (Path(name) / "_toc.yml").is_file():
            raise FileNotFoundError(
                f"GATEBOOK_ROOT is {name!r}; allowed: a folder with _toc.yml and book/"
            )
        return Path(name).resolve()
    for start in (Path.cwd(), Path(__file__).resolve()):
        for folder in (start, *start.parents):
            if (folder / "_toc.yml").is_file() and (folder / "book").is_dir():
                return folder
    raise FileNotFoundError(
        "no folder above here holds _toc.yml and book/; run from a checkout of "
        "gatebook, or set GATEBOOK_ROOT to one"
    )
