"""Tables of the pages."""

import html
import math
from collections.abc import Sequence
from typing import Any

from IPython.display import HTML

_PAD = "padding: 0.4rem 0.6rem"


PROSE = 60
"""Letters in a cell from which a table counts as text rather than figures."""


def table(rows: Sequence[dict[str, Any]], caption: str = "") -> HTML:
    """A table with one row per dict; the heads are all keys, as they first occur.

    Text is escaped, floats get four digits, and whole numbers a comma from 10,000 on;
    ``None``, NaN and a key that a row lacks become a dash. On a narrow screen the
    table scrolls inside its own box, but one with sentences in it shows its rows as a
    list.

    Raises:
        ValueError: for no rows.
    """
    if not rows:
        raise ValueError("rows is empty; allowed: at least one row")
    heads = list(dict.fromkeys(key for row in rows for key in row))
    head = "".join(f'<th scope="col" style="{_PAD}">{_text(h)}</th>' for h in heads)
    cells = ("".join(_cell(h, row.get(h)) for h in heads) for row in rows)
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    title = f"<caption>{_text(caption)}</caption>" if caption else ""
    longest = max(len(_text(value)) for row in rows for value in row.values())
    kind = "gatebook-table gatebook-prose" if longest > PROSE else "gatebook-table"
    # The class keeps the theme from putting a white box behind it in the dark.
    return HTML(
        '<div style="overflow-x: auto" tabindex="0">'
        f'<table class="dataframe {kind}">{title}'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cell(head: str, value: object) -> str:
    align = "right" if isinstance(value, int | float) else "left"
    name = html.escape(str(head))
    style = f"{_PAD}; text-align: {align}"
    return f'<td data-head="{name}" style="{style}">{_text(value)}</td>'


def _text(value: object) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return "–" if math.isnan(value) else f"{value:.4g}"
    if isinstance(value, int) and abs(value) >= 10_000:
        return f"{value:,}"
    return html.escape(str(value), quote=False)
