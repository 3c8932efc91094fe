"""Where a line of progress is shown."""

import sys

from gatebook_book.context import current


def show_progress(line: str) -> None:
    """Show a line where it does not end up in a published page.

    The runner names a file in the context and prints what is added to it. Without a
    runner, the line goes to ``sys.stderr``: the terminal, or the notebook that
    somebody has open.
    """
    if name := current().progress:
        with open(name, "a", encoding="utf-8") as file:
            file.write(f"{line}\n")
    else:
        print(line, file=sys.stderr, flush=True)
