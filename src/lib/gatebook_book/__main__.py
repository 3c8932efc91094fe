"""The start of the command line: light, so that Ctrl-C is heard from the beginning."""

import sys


def main() -> None:
    """The console script ``gatebook``."""
    try:
        from gatebook_book.cli import main
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    main()


if __name__ == "__main__":
    main()
