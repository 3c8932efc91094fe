"""What a page's process learns from the one that started it, in one variable."""

import contextlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass

VARIABLE = "GATEBOOK_CONTEXT"
"""The environment variable that holds a context as JSON."""


@dataclass(frozen=True)
class Context:
    """Where a process reads and writes. The defaults are those of a page run by hand.

    Arguments:
        root: the book's folder; if ``None``, `paths.root` looks for it.
        profile: the name that new runs are stored under.
        results: the folder of new runs, as all folders here below the root or
            absolute.
        kept: the folder of the stored runs that pages draw.
        code: the sum of the code that new runs depend on, or nothing.
        progress: a file that takes the lines of progress; ``None``: the terminal.
        notes: a file that takes the names of the runs that a page uses, or ``None``.
        since: only runs that were stored since then count, in seconds of the files'
            own clock; 0 for all.
    """

    root: str | None = None
    profile: str = "live"
    results: str = "_build/results"
    kept: str = "data/results"
    code: str = ""
    progress: str | None = None
    notes: str | None = None
    since: float = 0.0


def current() -> Context:
    """The context of this process.

    Raises:
        ValueError: if the variable holds something else.
    """
    text = os.environ.get(VARIABLE)
    if not text:
        return Context()
    try:
        return Context(**json.loads(text))
    except (json.JSONDecodeError, TypeError) as error:
        raise ValueError(
            f"{VARIABLE} is {text!r:.80}; allowed: what `gatebook run` sets: {error}"
        ) from error


@contextlib.contextmanager
def using(context: Context) -> Iterator[None]:
    """Set the context of this process, and of those that it starts meanwhile."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = json.dumps(asdict(context))
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before
