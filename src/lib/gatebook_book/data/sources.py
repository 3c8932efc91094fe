"""Where data comes from: a local folder first, then the hub, then what pip brought.

Every set is checked against the sums in ``registry.yaml`` before it is used, and says
where it came from, so that a result can name it.
"""

import contextlib
import hashlib
import os
import socket
import threading
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from gatebook.errors import DataError


def registry() -> dict[str, Any]:
    """What ``registry.yaml`` says of each set."""
    file = Path(__file__).parent / "registry.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


OFFLINE = ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE", "TRANSFORMERS_OFFLINE")
"""Variables of Hugging Face's libraries, each of which keeps them off the network."""


class HubError(DataError):
    """The hub did not give a data set."""


def load_from_hub(path: str, **more: Any) -> Any:
    """What ``datasets.load_dataset`` gives.

    Raises:
        HubError: if it fails, whatever the library makes of that: no network, a page
            of a proxy in place of the data, a set that was moved.
    """
    import datasets

    with _named(path):
        return datasets.load_dataset(path, **more)


def rows_from_hub(path: str, rows: Iterable[Any]) -> Iterator[Any]:
    """Rows of a streamed set one by one; raises `HubError` if they end before time."""
    with _named(path):
        yield from rows


@contextlib.contextmanager
def _named(path: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        host, port = _endpoint()
        why = str(error).strip().split("\n")[0]
        raise HubError(
            f"the hub at {host}:{port} did not give {path}: {type(error).__name__}: "
            f"{why}; allowed: another source, or HF_HUB_OFFLINE=1 to ask it no more"
        ) from error


def hub_answers(seconds: float = 2.0) -> bool:
    """Whether the hub can be reached at all; asks for at most ``seconds``.

    One of `OFFLINE` set to 1 answers at once.
    """
    for name in OFFLINE:
        if os.environ.get(name, "0").lower() in ("1", "true", "yes", "on"):
            return False
    address, answers = _endpoint(), []

    def ask() -> None:
        with contextlib.suppress(OSError, UnicodeError):
            socket.create_connection(address, timeout=seconds).close()
            answers.append(True)

    # The socket's timeout bounds neither the search for the host's name nor the sum
    # over its addresses.
    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return bool(answers)


def at_hand(name: str, known: Collection[str], instead: str) -> str:
    """The first source of a text or bitext that can be used here.

    Arguments:
        name: what is looked for.
        known: its sources, among ``"embedded"``, ``"folder"`` and ``"hub"``.
        instead: what the message names that is always there.

    Raises:
        DataError: if there is none.
    """
    if "embedded" in known:
        return "embedded"
    if "folder" in known and os.environ.get("GATEBOOK_DATA"):
        return "folder"
    if hub_answers():
        return "hub"
    raise DataError(
        f"no source of {name} is at hand: the hub does not answer"
        + (", GATEBOOK_DATA is not set" if "folder" in known else "")
        + f"; allowed: one of these, or {instead}"
    )


def _endpoint() -> tuple[str, int]:
    """The hub's host and port, from ``HF_ENDPOINT`` where it is set."""
    url = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    with contextlib.suppress(ValueError):  # the port is not a number
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        if parts.hostname and port:
            return parts.hostname, port
    raise ValueError(
        f"HF_ENDPOINT is {url!r}; allowed: an address such as 'https://huggingface.co'"
    )


def local_folder(name: str) -> Path:
    """Where a set's local files are."""
    place, folder = os.environ.get("GATEBOOK_DATA"), registry()[name]["folder"]
    if not place:
        raise DataError(
            f"GATEBOOK_DATA is not set; allowed: a folder that holds {folder}/"
        )
    return Path(place).expanduser() / folder


def checked_file(path: Path, wanted: dict[str, str]) -> bytes:
    """A file's bytes, if they are what the registry says."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(
            f"data file {path} is missing; GATEBOOK_DATA names its folder"
        ) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != wanted["sha256"]:
        raise DataError(
            f"data file {path} has SHA-256 {found}; allowed: {wanted['sha256']}"
        )
    return raw
