"""Lines of words: how a running text is cut, and how a file is read."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from gatebook.errors import DataError

Lines = Iterable[list[str]]
Parts = Mapping[str, Lines]
# A possessive is a word of its own, as in the Penn Treebank; so is each mark.
WORD = re.compile(r"'s\b|[^\W\d_]+(?:-[^\W\d_]+)*|\d+|\S", re.IGNORECASE)


def words_and_marks(text: str) -> list[str]:
    """Words and marks of running text, one by one.

    Example: ``words_and_marks("Am I my brother’s keeper?")`` gives
    ``["Am", "I", "my", "brother", "'s", "keeper", "?"]``.
    """
    return WORD.findall(text.replace("’", "'"))


def tokens(text: str) -> list[str]:
    """The same in lower case, as the King James Version is read here."""
    return words_and_marks(text.lower())


def text_lines(parameter: str, path: str | Path) -> list[str]:
    """A file's lines.

    Arguments:
        parameter: what the file is for, named in an error.
        path: a file in UTF-8.

    Raises:
        DataError: if the file is missing, empty or not UTF-8.
    """
    try:
        text = Path(path).read_bytes().decode("utf-8").removeprefix("\ufeff")
    except OSError as error:
        raise DataError(f"{parameter} names {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise DataError(
            f"{parameter} names {path}, which is not UTF-8 at byte {error.start}; "
            "allowed: a text file in UTF-8"
        ) from error
    if not text.strip():
        raise DataError(f"{parameter} names {path}, which has no words; allowed: text")
    # Not splitlines, which also cuts at marks inside a line such as U+2028.
    return text.removesuffix("\n").split("\n")
