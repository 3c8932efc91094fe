"""Values as typed, ``"0:3"`` or ``"UR,LSTM"``; it imports nothing that takes long."""

import re

RANGE = re.compile(r"(-?\d+):(-?\d+)(?::([1-9]\d*))?")
LIKE_A_RANGE = re.compile(r"(?=.*:)[-\d\s,:]+")

MOST = 10_000
"""Points of a sweep, or values of a name, at most."""


def values_of(option: str, text: str) -> list[str]:
    """``"0:3"`` is 0, 1, 2, and ``"0:9:3"`` is 0, 3, 6; else what commas part.

    Arguments:
        option: what an error names, ``"grid seed"``.
        text: as typed.
    """
    if match := RANGE.fullmatch(text.strip()):
        first, end, by = (int(group or 1) for group in match.groups())
        count = max(0, -((first - end) // by))  # len(range()) has an upper limit
        if not 0 < count <= MOST:
            what = f"a range of {count} values" if count else "an empty range"
            raise ValueError(f"{option} is {text!r}, {what}; allowed: 1 to {MOST}")
        return [str(number) for number in range(first, end, by)]
    if LIKE_A_RANGE.fullmatch(text):
        raise ValueError(f"{option} is {text!r}; allowed: 0:3, 0:9:3 or 0,1,2")
    values = [value.strip() for value in text.split(",")]
    for value in values:
        if not value or values.count(value) > 1:
            what = f"{value!r} twice" if value else "an empty value"
            raise ValueError(f"{option} is {text!r}, with {what}; allowed: each once")
    return values
