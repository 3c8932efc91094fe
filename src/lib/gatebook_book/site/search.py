"""A Sphinx extension: titles in the search index are text.

Sphinx writes a numbered chapter's title there with the tags of its number. So nothing
that is typed is ever equal to a title, and the tags count as letters of it.
"""

import json
import re
from pathlib import Path
from typing import Any

from gatebook.files import read_text
from sphinx.application import Sphinx

INDEX = "searchindex.js"
CALL = re.compile(r"(Search\.setIndex\()(.*)(\);?\s*)", re.DOTALL)
NUMBER = re.compile(r'<span class="section-number">[^<]*</span>')


def cleaned(text: str) -> str:
    """The index with titles that have no number."""
    found = CALL.fullmatch(text)
    if not found:
        raise ValueError(
            f"{INDEX} is not a call of Search.setIndex; see site/search.py"
        )
    index: dict[str, Any] = json.loads(found[2])
    index["titles"] = [NUMBER.sub("", title) for title in index["titles"]]
    return found[1] + json.dumps(index, separators=(",", ":")) + found[3]


def clean(app: Sphinx, exception: Exception | None) -> None:
    """Clean the index, once it is written."""
    file = Path(app.outdir) / INDEX
    if exception is None and file.exists():
        file.write_text(cleaned(read_text(file)), encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """What Sphinx calls when it loads the extension."""
    app.connect("build-finished", clean)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
