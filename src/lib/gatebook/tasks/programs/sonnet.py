"""DeepMind's language: a chain of operations, each nested in the next one.

Its grammar is that of ``sonnet/examples/learn_to_execute.py`` on Sonnet's branch v1
(google-deepmind/sonnet @cd5b5fa). With a the result so far, or a literal at first:

====== ========================= ======================
name   text                      value
====== ========================= ======================
add    ``a+b``                   a + b
sub    ``a-b``                   a - b
mul    ``a*b``                   a · b
if     ``aifb<celsed``           a where b < c, else d
for    ``x=afor[k]x+=b``         a + k · b, k in 1..9
====== ========================= ======================

b, c and d are literals of exactly ℓ digits, the same ℓ throughout a program; an
``if`` has ``<`` or ``>``. A result stands in parentheses where it is nested. The
answer is the last value modulo 10^(ℓ+1), so that it has 1 to ℓ+1 digits.
"""

from collections.abc import Callable
from random import Random

from gatebook.tasks.programs.language import DIGITS, Hardness, Part, Program

KINDS: dict[str, tuple[str, ...]] = {
    "addition": ("add",),
    "control": ("if", "for"),
    "program": ("add", "sub", "mul", "if", "for"),
}
"""The operations of each kind, one of which is drawn for each level of nesting."""

Literal = Callable[[], Part]


def write(draw: Random, kind: str, hardness: Hardness) -> Program:
    """A program of a kind; its literals and its nesting are as hard as drawn once."""
    length, nesting = hardness()
    low, high = 10 ** (length - 1), 10**length

    def literal() -> Part:
        value = draw.randrange(low, high)
        return Part(str(value), value)

    done = literal()
    for level in range(nesting):
        operand = Part(f"({done.text})", done.value) if level else done
        done = OPERATIONS[draw.choice(KINDS[kind])](draw, operand, literal)
    answer = str(done.value % (10 * high))
    return Program(done.text, answer, nesting, length)


def _add(draw: Random, a: Part, literal: Literal) -> Part:
    b = literal()
    return Part(f"{a.text}+{b.text}", a.value + b.value)


def _sub(draw: Random, a: Part, literal: Literal) -> Part:
    b = literal()
    return Part(f"{a.text}-{b.text}", a.value - b.value)


def _mul(draw: Random, a: Part, literal: Literal) -> Part:
    b = literal()
    return Part(f"{a.text}*{b.text}", a.value * b.value)


def _if(draw: Random, a: Part, literal: Literal) -> Part:
    b, c, d = literal(), literal(), literal()
    sign = draw.choice("<>")
    true = b.value < c.value if sign == "<" else b.value > c.value
    text = f"{a.text}if{b.text}{sign}{c.text}else{d.text}"
    return Part(text, a.value if true else d.value)


def _for(draw: Random, a: Part, literal: Literal) -> Part:
    times, b = draw.randrange(1, 10), literal()
    text = f"x={a.text}for[{times}]x+={b.text}"
    return Part(text, a.value + times * b.value)


OPERATIONS: dict[str, Callable[[Random, Part, Literal], Part]] = {
    "add": _add,
    "sub": _sub,
    "mul": _mul,
    "if": _if,
    "for": _for,
}

SIGNS = {"add": "+", "sub": "-", "mul": "*", "if": "if<>else", "for": "x=for[]+"}


def characters(kind: str) -> str:
    """All characters of the programs of a kind, in order of their codes."""
    signs = "".join(SIGNS[name] for name in KINDS[kind])
    return "".join(sorted(set(DIGITS + "()" + signs)))


def longest_answer(length: int, nesting: int) -> int:
    """Digits of an answer at most: the modulus has one more than a literal."""
    return length + 1
