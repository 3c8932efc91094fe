"""What both languages share: a program, its parts, and how hard it may be."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

Hardness = Callable[[], tuple[int, int]]
"""Draws a literal's length ℓ and a nesting n."""

DIGITS = "0123456789"


class Part(NamedTuple):
    """A piece of a program and the value that it stands for."""

    text: str
    value: int


@dataclass(frozen=True)
class Program:
    """A program and its answer, both as text.

    Arguments:
        text: what is read.
        answer: what is to be written.
        nesting: n, its operations.
        length: ℓ, the digits of its literals; 0 where they differ (``zaremba``).
    """

    text: str
    answer: str
    nesting: int
    length: int
