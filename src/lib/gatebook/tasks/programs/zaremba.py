"""Zaremba and Sutskever's language: short programs that Python runs.

Its grammar is that of ``data.lua`` and ``utils/operations.lua`` in
wojciechz/learning_to_execute @04a1659. A program has n operations, drawn uniformly
from six: a sum or difference, a product with a small number, nothing, a sum of a
variable, a loop that adds or subtracts, and a choice. One operand of each is the
result so far, at a random place, and the others are numbers from 1 to 10^ℓ. Each
number has its own ℓ, drawn as the curriculum says.

The answer is exact, may be negative, and ends with a full stop, which counts as a
character. Where the original has ``#`` for a new line, this has the new line, so that
the text is Python as it stands.
"""

from collections.abc import Iterator
from random import Random

from gatebook.tasks.programs.language import DIGITS, Hardness, Part, Program

KINDS = ("program",)
VARIABLES = "abcdefghij"
MOST = len(VARIABLES)
"""Operations at most: each may need a variable of its own."""


def write(draw: Random, kind: str, hardness: Hardness) -> Program:
    """A program; ``hardness`` is asked for n, and again for each number's ℓ."""
    writer = _Writer(draw, hardness)
    nesting = hardness()[1]
    for _ in range(nesting):
        name = draw.choice(OPERATIONS)
        writer.pending = getattr(writer, name)()
    done = writer.pending
    assert done is not None  # there is at least one operation
    text = "\n".join([*writer.lines, f"print({done.text})"])
    return Program(text, f"{done.value}.", nesting, 0)


OPERATIONS = ("pair", "small_product", "nothing", "variable", "loop", "choice")


class _Writer:
    """A program while it grows: its lines, and the result that nothing uses yet."""

    def __init__(self, draw: Random, hardness: Hardness):
        self.draw, self.hardness = draw, hardness
        self.lines: list[str] = []
        self.pending: Part | None = None
        self.names: Iterator[str] = iter(draw.sample(VARIABLES, MOST))

    def operands(self, count: int) -> list[Part]:
        """The pending result, if there is one, among fresh numbers."""
        fresh = [self._number() for _ in range(count - (self.pending is not None))]
        parts = fresh if self.pending is None else [self.pending, *fresh]
        self.draw.shuffle(parts)
        return parts

    def _number(self) -> Part:
        value = 1 + self.draw.randrange(10 ** self.hardness()[0])
        return Part(str(value), value)

    def _times(self) -> int:
        return 1 + self.draw.randrange(4 * self.hardness()[0])

    def _sign(self) -> tuple[str, int]:
        return self.draw.choice((("+", 1), ("-", -1)))

    def pair(self) -> Part:
        """``(a+b)`` or ``(a-b)``."""
        (a, b), (sign, s) = self.operands(2), self._sign()
        return Part(f"({a.text}{sign}{b.text})", a.value + s * b.value)

    def small_product(self) -> Part:
        """``(a*k)`` or ``(k*a)``."""
        (a,), k = self.operands(1), self._times()
        factors = [a.text, str(k)]
        self.draw.shuffle(factors)
        return Part(f"({'*'.join(factors)})", a.value * k)

    def nothing(self) -> Part:
        """The operand itself."""
        return self.operands(1)[0]

    def variable(self) -> Part:
        """``v=a``, then ``(v+b)`` or ``(v-b)``."""
        name = next(self.names)
        (a, b), (sign, s) = self.operands(2), self._sign()
        self.lines.append(f"{name}={a.text};")
        return Part(f"({name}{sign}{b.text})", a.value + s * b.value)

    def loop(self) -> Part:
        """``v=a``, then ``for x in range(k):v+=b`` or ``v-=b``."""
        name = next(self.names)
        (a, b), k, (sign, s) = self.operands(2), self._times(), self._sign()
        self.lines.append(f"{name}={a.text}")
        self.lines.append(f"for x in range({k}):{name}{sign}={b.text}")
        return Part(name, a.value + s * k * b.value)

    def choice(self) -> Part:
        """``(c if a>b else d)``, or with ``<``."""
        a, b, c, d = self.operands(4)
        sign = self.draw.choice("<>")
        true = a.value < b.value if sign == "<" else a.value > b.value
        text = f"({c.text} if {a.text}{sign}{b.text} else {d.text})"
        return Part(text, c.value if true else d.value)


def characters(kind: str) -> str:
    """All characters of the programs, in order of their codes."""
    words = "print for x in range if else"
    return "".join(sorted(set(DIGITS + VARIABLES + words + "\n()*+-:;<=>")))


def longest_answer(length: int, nesting: int) -> int:
    """Characters of an answer at most, its sign and its full stop included.

    With |a| at most m and |b| at most 10^ℓ, or the other way round, a loop has the
    largest value: 4ℓ m + 10^ℓ.
    """
    most = 10**length
    for _ in range(nesting):
        most = 4 * length * most + 10**length
    return len(str(most)) + 2
