"""The start of the command line: light, so that Ctrl-C is heard from the beginning."""

import sys


def main() -> None:
    """The console script ``gatebook``."""
    try:
        from gatebook_book.cli import main
    except KeyboardInterrupt:
        sys.exit(130)
    except ImportError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    main()


if __name__ == "__main__":
    main()
