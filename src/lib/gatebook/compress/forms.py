"""The forms in which a matrix is stored, and how bits are packed."""

import math
from dataclasses import dataclass, fields

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from torch import Tensor

Matrix = Float[Tensor, "m n"]


def pack(codes: Int64[Tensor, " N"], bits: int) -> UInt8[Tensor, " bytes"]:
    """Codes below 2^bits one after another, highest bit first; zeros fill the end."""
    places = np.arange(bits - 1, -1, -1, dtype=np.uint32)
    rows = codes.numpy().astype(np.uint32)[:, None] >> places & 1
    return torch.from_numpy(np.packbits(rows.astype(np.uint8)))


def unpack(
    packed: UInt8[Tensor, " bytes"], bits: int, count: int
) -> Int64[Tensor, " N"]:
    """The first ``count`` codes that `pack` has packed."""
    rows = np.unpackbits(packed.numpy(), count=count * bits).reshape(count, bits)
    weights = 1 << np.arange(bits - 1, -1, -1, dtype=np.int64)
    return torch.from_numpy(rows @ weights)


class Form:
    """A stored matrix. Its tensors and its other fields are what a file holds."""

    def decode(self) -> Matrix:
        """The matrix that the model runs with."""
        raise NotImplementedError

    @property
    def numbers(self) -> int:
        """Stored numbers: what P1 counts as parameters; a code is one number."""
        return sum(t.numel() for t in self.tensors().values())

    @property
    def bytes(self) -> int:
        """Size of the tensors in a file."""
        return sum(t.nbytes for t in self.tensors().values())

    def tensors(self) -> dict[str, Tensor]:
        """The fields that are tensors."""
        return {k: v for k, v in self._fields().items() if isinstance(v, Tensor)}

    def scalars(self) -> dict[str, int]:
        """The other fields."""
        return {k: v for k, v in self._fields().items() if not isinstance(v, Tensor)}

    def _fields(self) -> dict:
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]


@dataclass(frozen=True)
class Dense(Form):
    """Every entry as it is."""

    matrix: Matrix

    def decode(self) -> Matrix:
        """The matrix itself."""
        return self.matrix


@dataclass(frozen=True)
class Factors(Form):
    """A product of two thin matrices: r(m + n) numbers in place of mn."""

    left: Float[Tensor, "m r"]
    right: Float[Tensor, "r n"]

    def decode(self) -> Matrix:
        """The product, summed in float64."""
        return (self.left.double() @ self.right.double()).to(self.left.dtype)


@dataclass(frozen=True)
class Levels(Form):
    """Few different values: a table of n values and ⌈log2 n⌉ bits per entry."""

    codes: UInt8[Tensor, " bytes"]
    levels: Float[Tensor, " n"]
    rows: int
    columns: int

    @classmethod
    def of(cls, matrix: Matrix) -> "Levels":
        """The table and the codes of a matrix that has few values."""
        levels, codes = matrix.unique(return_inverse=True)
        packed = pack(codes.flatten(), level_bits(len(levels)))
        return cls(packed, levels, *matrix.shape)

    @property
    def numbers(self) -> int:
        """One code per entry, and the table."""
        return self.rows * self.columns + len(self.levels)

    def decode(self) -> Matrix:
        """Each code's value from the table."""
        bits = level_bits(len(self.levels))
        codes = unpack(self.codes, bits, self.rows * self.columns)
        return self.levels[codes].view(self.rows, self.columns)


@dataclass(frozen=True)
class Scaled(Form):
    """Integers from -q to q with q = 2^(bits - 1) - 1, and a scale for each row."""

    codes: UInt8[Tensor, " bytes"]
    scales: Float[Tensor, " m"]
    bits: int
    columns: int

    @property
    def numbers(self) -> int:
        """One code per entry, and the scales."""
        return len(self.scales) * (self.columns + 1)

    def decode(self) -> Matrix:
        """Integer times scale."""
        count = len(self.scales) * self.columns
        whole = unpack(self.codes, self.bits, count) - largest(self.bits)
        return whole.view(-1, self.columns) * self.scales[:, None]


FORMS: dict[str, type[Form]] = {
    kind.__name__: kind for kind in (Dense, Factors, Levels, Scaled)
}
"""Forms by the name that a file gives them."""


def level_bits(levels: int) -> int:
    """⌈log2 n⌉ bits distinguish n levels."""
    return math.ceil(math.log2(levels))


def largest(bits: int) -> int:
    """q, the largest integer that `Scaled` stores in this many bits."""
    return 2 ** (bits - 1) - 1
