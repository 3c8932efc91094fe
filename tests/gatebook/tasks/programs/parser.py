"""An evaluator of DeepMind's language, written apart from the generator.

It reads the text from left to right, by the grammar::

    whole   = sum | choice | loop
    choice  = atom "if" number ("<" | ">") number "else" number
    loop    = "x=" atom "for[" digit "]x+=" number
    sum     = atom [("+" | "-" | "*") number]
    atom    = number | "(" whole ")"
"""

import re


class Parser:
    """Evaluates one text; any departure from the grammar is an error."""

    def __init__(self, text):
        self.text, self.at = text, 0

    def value(self):
        found = self.whole()
        assert self.at == len(self.text), f"{self.text!r} goes on at {self.at}"
        return found

    def take(self, pattern):
        found = re.compile(pattern).match(self.text, self.at)
        assert found, f"{self.text!r} has no {pattern!r} at {self.at}"
        self.at = found.end()
        return found[0]

    def sees(self, text):
        return self.text.startswith(text, self.at)

    def number(self):
        return int(self.take(r"[1-9]\d*"))

    def atom(self):
        if not self.sees("("):
            return self.number()
        self.take(r"\(")
        inner = self.whole()
        self.take(r"\)")
        return inner

    def whole(self):
        if self.sees("x="):
            return self.loop()
        first = self.atom()
        if self.sees("if"):
            return self.choice(first)
        if self.at < len(self.text) and self.text[self.at] in "+-*":
            sign, second = self.take(r"[-+*]"), self.number()
            return {"+": first + second, "-": first - second, "*": first * second}[sign]
        return first

    def choice(self, first):
        self.take("if")
        left, sign, right = self.number(), self.take("[<>]"), self.number()
        self.take("else")
        other = self.number()
        return first if (left < right) == (sign == "<") and left != right else other

    def loop(self):
        self.take("x=")
        total = self.atom()
        times = int(self.take(r"for\[[1-9]\]")[4])
        self.take(r"x\+=")
        step = self.number()
        for _ in range(times):
            total += step
        return total


def evaluate(text):
    return Parser(text).value()
