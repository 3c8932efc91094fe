"""The start of the command line: light, so that Ctrl-C is heard from the beginning."""

import os
import sys


def main() -> None:
    """The console script ``gatebook``."""
    # Help and the list of pages need no torch; what runs pages imports it itself.
    os.environ["GATEBOOK_LAZY"] = "1"
    try:
        from gatebook_book.cli import main
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    finally:
        del os.environ["GATEBOOK_LAZY"]
    main()


if __name__ == "__main__":
    main()
