"""The pages of the book, their parameters and their profiles."""

import ast
import functools
import io
import math
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from gatebook.errors import (
    check_choice,
    check_count,
    check_positive,
    check_probability,
    suggest,
)
from gatebook.files import read_text

from gatebook_book.paths import root

PROFILES = ("smoke", "book", "laptop", "own", "paper")
"""From the smallest budget to the papers' own."""

RULES: dict[str, Callable[[str, Any], None]] = {
    r"(\w+_)?(steps|sizes?|lengths?|layers)": check_count,
    r"evaluate_every|width|epochs|bptt|units|samples|draws|sequences": check_count,
    r"points|networks|distance|(\w+_)?judged|window|checks|cutoffs|downsize|targets": (
        check_count
    ),
    r"nesting|slots|heads|rows|reads|(\w+_)?updates|note_every|walks": check_count,
    r"(\w+_)?merges|beam|depths|facts|statements|pairs": check_count,
    r"p|discount|dropout|dropout_\w+|weight_drop": check_probability,
    r"(\w+_)?tokens|words|pool|finetune|delay": (
        partial(check_count, least=0)  # 0: all, none
    ),
    r"(\w+_)?rates?": check_positive,
}
"""What numbers a parameter may have, by its name; those of `ANY` are free.

Not by its type: a cell evaluates its annotations, so that every page would begin with
an import of types such as ``Positive``, and papermill shows a reader only their name.
A test holds that each number of each page has one rule here or is in `ANY`.
"""

ANY = ("seed", "seeds", "bias", "spread")
"""Numbers of which every finite one will do, or that the page checks itself."""

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
            if text.strip().startswith("[") != text.strip().endswith("]"):
                raise ValueError  # one bracket
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

    def check_range(self, value: Any) -> None:
        """Refuse a number that no page can use, by this parameter's name."""
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, float) and not math.isfinite(one):
                raise ValueError(f"{self.name} is {one!r}; allowed: a finite number")
            for names, check in RULES.items():
                if type(one) in (int, float) and re.fullmatch(names, self.name):
                    check(self.name, one)


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
    def text(self) -> str:
        """The source as it stands."""
        return read_text(self.file)

    @property
    def title(self) -> str:
        """Its heading."""
        found = re.search(r"^# (.+)$", self.text, re.MULTILINE)
        return found[1] if found else self.name

    @property
    def has_code(self) -> bool:
        """Whether there is anything to execute."""
        return "```{code-cell}" in self.text

    def notebook(self) -> Any:
        """The page as a notebook without outputs."""
        import jupytext  # not for the list of pages, which is there at once

        return jupytext.reads(self.text, fmt="md:myst")

    def parameters(self) -> dict[str, Parameter]:
        """Parameters by name, in the order of the cell."""
        return dict(_parameters(self.text)) if self.has_code else {}

    def device(self, profile: str, given: dict[str, str]) -> str:
        """Where its models live: the parameter ``device``, if it has one."""
        own = self.parameters().get("device")
        chosen = self.effective(profile, given)
        return str(chosen.get("device", own.default if own else "cpu"))

    def effective(self, profile: str, given: dict[str, str]) -> dict[str, Any]:
        """The profile's parameters with those given on the command line over them.

        Arguments:
            profile: one of `PROFILES`.
            given: texts by name, as typed.

        Raises:
            ValueError: for an unknown profile, name or gate, a value of a wrong type,
                or one that `RULES` does not allow.
        """
        from gatebook.gates import GATES  # brings torch, which `parameters` needs not

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
        for name, value in chosen.items():
            known[name].check_range(value)
            if name == "gates" or name.endswith("_gates"):  # of the papers; no others
                for gate in chosen[name]:
                    check_choice("gate", gate, GATES)
        whole = {name: parameter.default for name, parameter in known.items()} | chosen
        _check_masters(whole.get("gates") or [], whole.get("hidden_size"))
        return chosen


def _check_masters(gates: list[str], hidden_size: int | None) -> None:
    """Raise for a size that the gates' masters cannot share; before a page starts."""
    from gatebook.gates import GATES, Master

    size = hidden_size or 0  # of a page that has none
    for gate in gates:
        auxiliary = GATES[gate].auxiliary
        if isinstance(auxiliary, Master) and size % auxiliary.downsize:
            raise ValueError(
                f"hidden_size is {hidden_size}; allowed with gate {gate!r}: a multiple "
                f"of {auxiliary.downsize}, the units that share a master gate"
            )


CELL = re.compile(
    r"^```\{code-cell\}[^\n]*\n:tags: \[parameters[^\]\n]*\]\n(.*?)^```$", re.M | re.S
)
"""The cell of parameters in a page's text."""


@functools.lru_cache(maxsize=64)
def _parameters(text: str) -> dict[str, Parameter]:
    """Parameters of a page's text, read once: a sweep asks for each of its points.

    papermill reads the same; it takes two seconds to start.
    """
    cell = CELL.search(text)
    code = cell[1] if cell else ""
    tokens = tokenize.generate_tokens(io.StringIO(code).readline)
    notes = {t.start[0]: t.string for t in tokens if t.type == tokenize.COMMENT}
    return {
        name: Parameter(name, kind, value, notes.get(line, "").lstrip("#").strip())
        for name, kind, value, line in _assigned(code)
    }


def _assigned(code: str) -> Iterator[tuple[str, str, Any, int]]:
    """Name, annotation, value and last line of each ``name: type = value``."""
    for node in ast.parse(code).body:
        if isinstance(node, ast.AnnAssign) and node.value:
            value = ast.literal_eval(node.value)
            line = node.end_lineno or node.lineno
            yield ast.unparse(node.target), ast.unparse(node.annotation), value, line


_yaml = functools.lru_cache(maxsize=16)(yaml.safe_load)
"""The content of a YAML text, read once."""


def page_names() -> list[str]:
    """All pages of the table of contents, in the book's order."""
    toc = _yaml(read_text(root() / "_toc.yml"))
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
        ValueError: for an unknown profile, or a file that is not valid YAML.
    """
    check_choice("profile", profile, PROFILES)
    path = root() / "book" / "profiles" / f"{profile}.yaml"
    try:
        return _yaml(read_text(path)) or {}
    except yaml.YAMLError as error:
        raise ValueError(f"profile {path} is not valid YAML: {error}") from error
