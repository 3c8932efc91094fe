"""Where a line of progress is shown."""

import os
import sys


def show_progress(line: str) -> None:
    """Show a line where it does not end up in a published page.

    The runner names a file in ``GATEBOOK_PROGRESS`` and prints what is added to it.
    Without a runner, the line goes to ``sys.stderr``: the terminal, or the notebook
    that somebody has open.
    """
    if name := os.environ.get("GATEBOOK_PROGRESS"):
        with open(name, "a") as file:
            file.write(f"{line}\n")
    else:
        print(line, file=sys.stderr, flush=True)
