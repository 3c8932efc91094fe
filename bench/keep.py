"""Where the figures of a benchmark are kept."""

from typing import Any

from gatebook_book.paths import root
from gatebook_book.runs.provenance import device_name
from gatebook_book.runs.store import STORED, Store


def keep(page: str, threads: int, found: dict[str, Any], kind: str = "bench") -> None:
    """Put them into data/results, in place of this machine's last ones."""
    store = Store(page, kind, root() / STORED)
    name = device_name("cpu").replace("/", "-").replace(" ", "-")
    store.file(name, 0, {"threads": threads}).unlink(missing_ok=True)
    store.run(name, 0, {"threads": threads}, lambda _: found)
