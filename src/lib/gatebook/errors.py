"""Checks of what a user passes in: one clear sentence, before anything runs."""

import difflib
import math
import numbers
import reprlib
from collections.abc import Iterable
from typing import Any, TypeGuard


class DataError(RuntimeError):
    """A data file is missing, cut short or altered; the message names it."""


def suggest(value: object, allowed: Iterable[str]) -> str:
    """A ``did you mean`` clause and the list of what is allowed."""
    allowed = list(allowed)
    folded = {name.casefold(): name for name in allowed}
    close = difflib.get_close_matches(str(value).casefold(), folded, n=1, cutoff=0.5)
    hint = f"did you mean {folded[close[0]]!r}? " if close else ""
    return f"{hint}allowed: {', '.join(map(repr, allowed))}"


def check_choice(parameter: str, value: object, allowed: Iterable[str]) -> None:
    """Raise ``ValueError`` unless ``value`` is one of ``allowed``."""
    allowed = list(allowed)
    if value not in allowed:
        raise ValueError(f"unknown {parameter} {value!r}; {suggest(value, allowed)}")


def check_fraction(parameter: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``0 <= value < 1``."""
    if not _is_number(value) or not 0.0 <= value < 1.0:
        raise ValueError(f"{parameter} is {value!r}; allowed: a number in [0, 1)")


def check_probability(parameter: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``0 <= value <= 1``."""
    if not _is_number(value) or not 0.0 <= value <= 1.0:
        raise ValueError(f"{parameter} is {value!r}; allowed: a probability in [0, 1]")


def check_positive(parameter: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is a finite number above zero."""
    if not _is_number(value) or not (math.isfinite(value) and value > 0):
        raise ValueError(f"{parameter} is {value!r}; allowed: a finite number > 0")


def check_finite(parameter: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is a finite number."""
    if not _is_number(value) or not math.isfinite(value):
        raise ValueError(f"{parameter} is {value!r}; allowed: a finite number")


def check_not_negative(parameter: str, value: Any) -> None:
    """Raise ``ValueError`` unless ``value`` is a finite number of at least zero."""
    if not _is_number(value) or not (math.isfinite(value) and value >= 0):
        raise ValueError(f"{parameter} is {value!r}; allowed: a finite number >= 0")


def check_between(parameter: str, value: Any, low: float, high: float) -> None:
    """Raise ``ValueError`` unless ``low <= value <= high``."""
    if not _is_number(value) or not low <= value <= high:
        raise ValueError(
            f"{parameter} is {value!r}; allowed: a number from {low} to {high}"
        )


def check_count(parameter: str, value: Any, least: int = 1) -> None:
    """Raise ``ValueError`` unless ``value`` is an integer of at least ``least``."""
    if not is_integer(value) or value < least:
        raise ValueError(f"{parameter} is {value!r}; allowed: an integer >= {least}")


def check_integer(parameter: str, value: Any) -> None:
    """Raise ``TypeError`` unless ``value`` is an integer; a bool does not count."""
    if not is_integer(value):
        raise TypeError(f"{parameter} is {value!r}; allowed: an integer")


def check_lines(parameter: str, value: object) -> None:
    """Raise ``TypeError`` for one string: as a sequence it is its letters."""
    if isinstance(value, str):
        short = reprlib.repr(value)
        raise TypeError(f"{parameter} is {short}; allowed: a sequence of strings")


def check_flag(parameter: str, value: Any) -> None:
    """Raise ``TypeError`` unless ``value`` is True or False."""
    if not isinstance(value, bool):
        raise TypeError(f"{parameter} is {value!r}; allowed: True or False")


def check_device(parameter: str, value: str) -> None:
    """Raise ``ValueError`` unless ``value`` is a device that this machine has."""
    import torch  # here alone: the other checks are for programs that start at once

    known = ["cpu"]
    if torch.cuda.is_available():
        known += ["cuda", *(f"cuda:{k}" for k in range(torch.cuda.device_count()))]
    if torch.backends.mps.is_available():
        known.append("mps")
    check_choice(parameter, value, known)


def _is_number(value: object) -> bool:
    """Python's and NumPy's numbers; a truth value is not one."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def is_integer(value: object) -> TypeGuard[numbers.Integral]:
    """Python's and NumPy's integers; a truth value is not one."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)
