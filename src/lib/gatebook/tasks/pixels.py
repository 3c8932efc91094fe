"""Images read pixel by pixel (P2 §3.2, P3 §4.2)."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.data import SOURCES, Digits, mnist
from gatebook.errors import check_choice, check_count, check_positive
from gatebook.random import generator

ORDERS = ("plain", "bit-reversal", "seeded")


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
            ``"seeded"`` is drawn once from ``seed``, as P3's code draws one a run.
        n: pixels.
        seed: for ``"seeded"`` only.
    """
    check_choice("order", order, ORDERS)
    if order == "plain":
        return np.arange(n)
    if order == "bit-reversal":
        return bit_reversal(n)
    return torch.randperm(n, generator=generator("pixels", seed)).numpy()


@dataclass(frozen=True)
class Pixels:
    """Name the digit after reading its pixels one a step.

    Arguments:
        order: the order of the pixels, see `permutation`.
        pool: side of the squares that are averaged first: 1 reads 784 pixels, 2
            reads 196, 4 reads 49. The papers read 784.
        batch_size: images a batch (P2: 50, P3: 100).
        seed: decides the order of the images, the validation split and the seeded
            permutation.
        train_size: images to train on at most; ``None`` takes all.
        validation_share: part of the training images held out (P3: 1/6).
        validation_size: held-out images that scores are taken on at most;
            ``None`` takes all (P3: 10,000).
        source: as in `gatebook.data.mnist`.
    """

    order: str = "plain"
    pool: int = 1
    batch_size: int = 100
    seed: int = 0
    train_size: int | None = None
    validation_share: float = 1 / 6
    validation_size: int | None = None
    source: str = "auto"

    input_size = 1
    output_size = 10
    steps_read = 1

    def __post_init__(self):
        check_choice("order", self.order, ORDERS)
        check_choice("source", self.source, SOURCES)
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
        return (28 // self.pool) ** 2

    @cached_property
    def data(self) -> Digits:
        """The images and their source."""
        return mnist(self.source)

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
        """Input (T, B, 1) in [0, 1] and labels (1, B); every epoch is shuffled anew."""
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
    def _arrays(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Pooled, permuted pixels (N, T) as float32 and labels (N,) of both parts."""
        order = permutation(self.order, self.length, self.seed)
        made = []
        for part in (self.data.train, self.data.test):
            columns = part[:]
            side = 28 // self.pool
            squares = np.asarray(columns["image"], np.float32) / 255
            squares = squares.reshape(-1, side, self.pool, side, self.pool)
            pooled = squares.mean((2, 4)).reshape(-1, self.length)
            made.append((pooled[:, order], np.asarray(columns["label"], np.int64)))
        return made

    def _parts(
        self, arrays: tuple[np.ndarray, np.ndarray], chosen: np.ndarray
    ) -> list[tuple[Tensor, Tensor]]:
        starts = range(0, len(chosen), 500)
        return [self._read(arrays, chosen[s : s + 500]) for s in starts]

    def _read(
        self, arrays: tuple[np.ndarray, np.ndarray], chosen: np.ndarray
    ) -> tuple[Tensor, Tensor]:
        pixels = torch.from_numpy(arrays[0][chosen]).T[..., None].contiguous()
        return pixels, torch.from_numpy(arrays[1][chosen])[None]

    def loss(
        self, prediction: Float[Tensor, "1 B K"], target: Int[Tensor, "1 B"]
    ) -> Float[Tensor, ""]:
        """Cross-entropy in nats."""
        return F.cross_entropy(prediction[0], target[0])

    def scores(
        self, prediction: Float[Tensor, "1 B K"], target: Int[Tensor, "1 B"]
    ) -> dict[str, float]:
        """Loss in nats and the share of digits named rightly."""
        right = (prediction.argmax(-1) == target).float().mean()
        return {"loss": self.loss(prediction, target).item(), "accuracy": right.item()}

    def describe(self) -> dict[str, object]:
        """The task's size and the source of its images."""
        return {
            "task": "pixels",
            "length": self.length,
            "order": self.order,
            "pool": self.pool,
            "batch_size": self.batch_size,
            "train_size": len(self._split[0]),
            "data_source": self.data.source,
        }
