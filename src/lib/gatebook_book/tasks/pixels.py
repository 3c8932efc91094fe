"""Images read pixel by pixel (P2 §3.2, P3 §4.2)."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from gatebook.errors import check_choice, check_count, check_positive
from gatebook.random import generator
from jaxtyping import Float, Int
from torch import Tensor

from gatebook_book.data.images import CIFAR_SOURCES, SOURCES, ImageSet, cifar10, mnist

ORDERS = ("plain", "bit-reversal", "seeded")
LOADERS = {"mnist": (mnist, SOURCES), "cifar10": (cifar10, CIFAR_SOURCES)}
"""For each set its function in `gatebook_book.data.images` and the sources it knows."""
_SIDES = {"mnist": 28, "cifar10": 32}
Arrays = tuple[np.ndarray, np.ndarray]


def bit_reversal(n: int) -> Int[np.ndarray, " n"]:
    """P2 D.5: indices below the next power of two with their bits reversed.

    Those that fall outside 0..n-1 are left out. Starts 0, 512, 256, 768 for 784.
    """
    bits = (n - 1).bit_length()
    places = np.arange(1 << bits)
    backwards = np.zeros_like(places)
    for bit in range(bits):
        backwards |= ((places >> bit) & 1) << (bits - 1 - bit)
    return backwards[backwards < n]


def permutation(order: str, n: int, seed: int) -> Int[np.ndarray, " n"]:
    """The one order in which every image of a run is read.

    Arguments:
        order: ``"plain"`` scans rows; ``"bit-reversal"`` is P2's fixed permutation;
            ``"seeded"`` is drawn once from ``seed``, as P3's code draws one per run.
        n: pixels.
        seed: for ``"seeded"`` only.
    """
    check_choice("order", order, ORDERS)
    if order == "plain":
        return np.arange(n)
    if order == "bit-reversal":
        return bit_reversal(n)
    return torch.randperm(n, generator=generator("pixels", seed)).numpy()


@lru_cache(maxsize=2)
def pooled(images: str, source: str, pool: int) -> list[Arrays]:
    """Both parts of a set as sequences in plain order; kept, since runs share them.

    Arguments:
        images: a name in `LOADERS`.
        source: one of its sources.
        pool: side of the squares that are averaged.

    Returns:
        for training and test images the pixels (N, T, C) in [0, 1] as float32, and
        the labels (N,).
    """
    whole = LOADERS[images][0](source)
    side = whole.side // pool
    squares = (-1, side, pool, side, pool, whole.channels)
    made = []
    for part in (whole.train, whole.test):
        columns = part[:]
        # In parts: as floats, all of CIFAR-10 would take 740 MB before pooling.
        few = np.array_split(columns["image"], -(-len(part) // 5000))
        means = [(np.float32(x) / 255).reshape(squares).mean((2, 4)) for x in few]
        pixels = np.concatenate(means).reshape(len(part), side**2, whole.channels)
        made.append((pixels, np.asarray(columns["label"], np.int64)))
    return made


@dataclass(frozen=True)
class Pixels:
    """Name what an image shows after reading its pixels one per step.

    Arguments:
        order: the order of the pixels, see `permutation`.
        pool: side of the squares that are averaged first: 1, 2 or 4. Of a digit 1
            leaves 784 pixels, as in the papers, 2 leaves 196, 4 leaves 49; of a
            CIFAR image 1024, 256 and 64.
        batch_size: images a batch (P2: 50, P3: 100).
        seed: decides the order of the images, the validation split and the seeded
            permutation.
        train_size: images to train on at most; ``None`` takes all.
        validation_share: part of the training images held out (P3: 1/6).
        validation_size: held-out images that scores are taken on at most;
            ``None`` takes all (P3: 10,000).
        source: as in `mnist` or `cifar10` of `gatebook_book.data.images`.
        images: ``"mnist"``, one grey value per step, or ``"cifar10"``, three colours.
    """

    order: str = "plain"
    pool: int = 1
    batch_size: int = 100
    seed: int = 0
    train_size: int | None = None
    validation_share: float = 1 / 6
    validation_size: int | None = None
    source: str = "auto"
    images: str = "mnist"

    steps_read = 1

    def __post_init__(self):
        check_choice("order", self.order, ORDERS)
        check_choice("images", self.images, LOADERS)
        check_choice("source", self.source, LOADERS[self.images][1])
        check_count("batch_size", self.batch_size)
        if self.pool not in (1, 2, 4):
            raise ValueError(f"pool is {self.pool!r}; allowed: 1, 2 or 4")
        check_positive("validation_share", self.validation_share)
        if self.validation_share >= 1:
            raise ValueError(
                f"validation_share is {self.validation_share!r}; allowed: above 0 "
                "and below 1"
            )
        for name in ("train_size", "validation_size"):
            if getattr(self, name) is not None:
                check_count(name, getattr(self, name))

    @property
    def length(self) -> int:
        """Steps a sequence: the pixels that are left after pooling."""
        return (_SIDES[self.images] // self.pool) ** 2

    @property
    def input_size(self) -> int:
        """Numbers a pixel."""
        return self.data.channels

    @property
    def output_size(self) -> int:
        """Kinds of label."""
        return self.data.classes

    @cached_property
    def data(self) -> ImageSet:
        """The images and their source."""
        return LOADERS[self.images][0](self.source)

    @cached_property
    def _split(self) -> tuple[np.ndarray, np.ndarray]:
        """Indices for training and for validation; disjoint, decided by the seed."""
        count = len(self.data.train)
        order = torch.randperm(count, generator=generator("split", self.seed)).numpy()
        held = round(count * self.validation_share)
        if held in (0, count):
            raise ValueError(
                f"validation_share is {self.validation_share!r}; allowed: one that "
                f"leaves some of the {count} images to train on and some to score"
            )
        return order[held:][: self.train_size], order[:held]

    @property
    def steps_per_epoch(self) -> int:
        """Batches that show each training image once; a last part is left out."""
        return max(len(self._split[0]) // self.batch_size, 1)

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Input (T, B, C) in [0, 1] and labels (1, B); every epoch is shuffled anew."""
        epoch, place = divmod(step, self.steps_per_epoch)
        train = self._split[0]
        g = generator("epoch", self.seed, epoch)
        shuffled = torch.randperm(len(train), generator=g).numpy()
        first = place * self.batch_size
        return self._read(
            self._arrays[0], train[shuffled[first : first + self.batch_size]]
        )

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """The held-out training images, in batches of 500."""
        return self._parts(self._arrays[0], self._split[1][: self.validation_size])

    def test(self) -> list[tuple[Tensor, Tensor]]:
        """The test images, in batches of 500."""
        return self._parts(self._arrays[1], np.arange(len(self.data.test)))

    @cached_property
    def _arrays(self) -> list[Arrays]:
        """Pooled pixels in rows and labels of both parts."""
        return pooled(self.images, self.source, self.pool)

    @cached_property
    def _order(self) -> np.ndarray:
        return permutation(self.order, self.length, self.seed)

    def _parts(self, arrays: Arrays, chosen: np.ndarray) -> list[tuple[Tensor, Tensor]]:
        starts = range(0, len(chosen), 500)
        return [self._read(arrays, chosen[s : s + 500]) for s in starts]

    def _read(self, arrays: Arrays, chosen: np.ndarray) -> tuple[Tensor, Tensor]:
        rows = arrays[0][chosen][:, self._order]
        pixels = torch.from_numpy(rows).transpose(0, 1).contiguous()
        return pixels, torch.from_numpy(arrays[1][chosen])[None]

    def loss(
        self, prediction: Float[Tensor, "1 B K"], target: Int[Tensor, "1 B"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy in nats."""
        return F.cross_entropy(prediction[0], target[0])

    def scores(
        self, prediction: Float[Tensor, "1 B K"], target: Int[Tensor, "1 B"]
    ) -> dict[str, float]:
        """Loss in nats and the share of images named rightly."""
        right = (prediction.argmax(-1) == target).float().mean()
        return {"loss": self.loss(prediction, target).item(), "accuracy": right.item()}

    def describe(self) -> dict[str, object]:
        """All that decides its numbers, the seed aside, and its images' source.

        Sizes are of what is there: ``None`` and a limit that cuts nothing are alike.
        """
        train, held = self._split
        return {
            "task": "pixels",
            "images": self.images,
            "length": self.length,
            "order": self.order,
            "pool": self.pool,
            "batch_size": self.batch_size,
            "train_size": len(train),
            "validation_share": self.validation_share,
            "validation_size": len(held[: self.validation_size]),
            "data_source": self.data.source,
        }
