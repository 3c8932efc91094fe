"""The pages of the book, their parameters and their profiles."""

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jupytext
import papermill
import yaml

from gatebook.errors import check_choice, suggest
from gatebook.gates import GATES
from gatebook.paths import root

PROFILES = ("smoke", "book", "laptop", "paper")
"""From the smallest budget to the papers' own."""

_SCALARS = {"int": int, "float": float, "str": str, "bool": bool}


@dataclass(frozen=True)
class Parameter:
    """One assignment of a page's parameters cell.

    Arguments:
        name: as it is written in the cell.
        kind: its annotation: ``int``, ``float``, ``str``, ``bool`` or a list of one.
        default: its value.
        help: the comment behind it.
    """

    name: str
    kind: str
    default: Any
    help: str

    def parse(self, text: str) -> Any:
        """The value of ``-p name=text``; an empty list is ``[]``.

        Raises:
            ValueError: naming the parameter, the text and the type.
        """
        inner = self.kind.removeprefix("list[").removesuffix("]")
        try:
            if inner == self.kind:
                return _parse_scalar(text, self.kind)
            if text.strip() == "[]":
                return []
            parts = text.strip().removeprefix("[").removesuffix("]").split(",")
            return [_parse_scalar(part.strip(" '\""), inner) for part in parts]
        except (ValueError, KeyError):
            none = "" if inner == self.kind else ", [] for an empty one"
            raise ValueError(
                f"{self.name} is {text!r}; allowed: a value of type {self.kind}{none}"
            ) from None

    def check(self, value: Any) -> Any:
        """A profile's value, made sure to be of this parameter's type."""
        inner = self.kind.removeprefix("list[").removesuffix("]")
        values = value if inner != self.kind else [value]
        if not isinstance(values, list) or not all(_is(v, inner) for v in values):
            raise ValueError(
                f"{self.name} is {value!r}; allowed: a value of type {self.kind}"
            )
        return value


def _parse_scalar(text: str, kind: str) -> Any:
    if not text.strip():
        raise ValueError("no value")
    if kind == "bool":
        return {"true": True, "false": False}[text.lower()]
    return _SCALARS[kind](text)


def _is(value: Any, kind: str) -> bool:
    if kind == "float":
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind == "int" and isinstance(value, bool):
        return False
    return isinstance(value, _SCALARS[kind])


@dataclass(frozen=True)
class Page:
    """A page of the book.

    Arguments:
        name: its path below ``book/`` without the ending, ``"memory/copy"``.
    """

    name: str

    @property
    def file(self) -> Path:
        """The MyST source."""
        return root() / "book" / f"{self.name}.md"

    @property
    def has_code(self) -> bool:
        """Whether there is anything to execute."""
        return "```{code-cell}" in self.file.read_text()

    def notebook(self) -> Any:
        """The page as a notebook without outputs."""
        return jupytext.read(self.file)

    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name, in the order of the cell."""
        found = papermill.inspect_notebook(self.notebook()) if self.has_code else {}
        return {
            name: Parameter(
                name,
                entry["inferred_type_name"],
                ast.literal_eval(entry["default"]),
                entry["help"].strip(),
            )
            for name, entry in found.items()
        }

    def effective(self, profile: str, given: dict[str, str]) -> dict[str, Any]:
        """The profile's parameters with those given on the command line over them.

        Arguments:
            profile: one of `PROFILES`.
            given: texts by name, as typed.

        Raises:
            ValueError: for an unknown profile, name or gate, or a value of a wrong
                type.
        """
        known = self.parameters()
        values = read_profile(profile).get(self.name) or {}
        for name in (*values, *given):
            if name not in known:
                raise ValueError(
                    f"unknown parameter {name!r} of page {self.name}; "
                    f"{suggest(name, known) if known else 'it has none'}"
                )
        chosen = {name: known[name].check(value) for name, value in values.items()}
        chosen |= {name: known[name].parse(text) for name, text in given.items()}
        for name in chosen:
            if name == "gates" or name.endswith("_gates"):  # of the papers; no others
                for gate in chosen[name]:
                    check_choice("gate", gate, GATES)
        return chosen


def page_names() -> list[str]:
    """All pages of the table of contents, in the book's order."""
    toc = yaml.safe_load((root() / "_toc.yml").read_text())
    files = [toc["root"]]
    for part in toc.get("parts", [toc]):
        files += [chapter["file"] for chapter in part.get("chapters", [])]
    return [file.removeprefix("book/").removesuffix(".md") for file in files]


def find(name: str) -> Page:
    """The page of a name.

    Raises:
        ValueError: for an unknown page, naming the nearest one.
    """
    name = name.removeprefix("book/").removesuffix(".md")
    check_choice("page", name, page_names())
    page = Page(name)
    if not page.file.is_file():
        raise ValueError(f"page {name!r} is in _toc.yml, but {page.file} is missing")
    return page


def read_profile(profile: str) -> dict[str, dict[str, Any]]:
    """A profile's parameters by page.

    Raises:
        ValueError: for an unknown profile, or a file that is no YAML.
    """
    check_choice("profile", profile, PROFILES)
    path = root() / "book" / "profiles" / f"{profile}.yaml"
    try:
        return yaml.safe_load(path.read_text()) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"profile {path} is no YAML: {error}") from error
