"""The tables of a model's card, the ``README.md`` that is published beside it."""

from collections.abc import Mapping
from typing import Any


def table(rows: Mapping[str, object], head: str) -> str:
    """A table of names and values in Markdown.

    Example:
        >>> print(table({"BLEU": 28.31234}, "figure"))
        | figure | value |
        |---|---|
        | BLEU | 28.312 |
    """
    lines = [f"| {head} | value |", "|---|---|"]
    lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in rows.items()]
    return "\n".join(lines)


def figures(facts: Mapping[str, object]) -> str:
    """The table of what was measured, or a sentence where nothing was."""
    return table(facts, "figure") if facts else "None were given."


def gate_words(gate: Mapping[str, Any]) -> str:
    """The kind on each axis of a gate, as `gatebook.compress.describe` gives it."""
    return ", ".join(f"{axis} {choice[0]}" for axis, choice in gate.items())


def _cell(value: object) -> str:
    """A number with five digits; text that cannot break the table."""
    if isinstance(value, float):
        return f"{value:.5g}"
    return str(value).replace("|", "\\|").replace("\n", " ")
