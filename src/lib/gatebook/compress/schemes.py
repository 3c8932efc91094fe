"""The schemes: from a matrix to the form in which it is stored."""

from dataclasses import dataclass

import torch

from gatebook.compress.forms import (
    Dense,
    Factors,
    Form,
    Levels,
    Matrix,
    Scaled,
    largest,
    pack,
)
from gatebook.errors import check_between, check_count, check_positive


def smaller(form: Form) -> Form:
    """The form, or its matrix as it is where that takes no more bytes."""
    plain = Dense(form.decode())
    return form if form.bytes < plain.bytes else plain


@dataclass(frozen=True)
class Round:
    """Rounding to multiples of k, P1 eq. 17, after clipping at ±c, eq. 18.

    P1's code clips first and takes c = 2k; its text rounds first. Both give the
    same values where c is a multiple of k.

    Arguments:
        step: k > 0. P1: 0.2 for its language model, 0.5 in translation.
        clip: c > 0, or ``None`` for no clipping. P1: 0.4 and 1.0, so that five
            levels remain, which take three bits.
    """

    step: float = 0.2
    clip: float | None = None

    def __post_init__(self):
        check_positive("step", self.step)
        if self.clip is not None:
            check_positive("clip", self.clip)

    def encode(self, matrix: Matrix) -> Form:
        """Codes of the levels that occur."""
        if self.clip is not None:
            matrix = matrix.clamp(-self.clip, self.clip)
        # Adding 0 turns -0 into 0, which is the same level.
        return smaller(Levels.of((matrix / self.step).round() * self.step + 0.0))


@dataclass(frozen=True)
class LowRank:
    """The best approximation of rank r: the r largest singular values (P1 §4.3).

    Where r(m + n) is not below mn, the truncated matrix is stored as it is; from rank
    min(m, n) on, it is the matrix itself.

    Arguments:
        rank: r, at least 1. P1: 64 and 128 for 1150 units, 16 and 32 for 256.
    """

    rank: int

    def __post_init__(self):
        check_count("rank", self.rank)

    def numbers(self, rows: int, columns: int) -> int:
        """Numbers that a matrix of this shape takes."""
        return min(self.rank * (rows + columns), rows * columns)

    def encode(self, matrix: Matrix) -> Form:
        """U √S and √S Vᵀ, computed in float64."""
        if self.rank >= min(matrix.shape):
            return Dense(matrix)
        u, s, vt = torch.linalg.svd(matrix.double(), full_matrices=False)
        root = s[: self.rank].sqrt()
        left = (u[:, : self.rank] * root).to(matrix.dtype).contiguous()
        right = (root[:, None] * vt[: self.rank]).to(matrix.dtype).contiguous()
        return smaller(Factors(left, right))


@dataclass(frozen=True)
class Quantise:
    """Symmetric integers with one scale per row, as weights are stored today.

    Not in P1. The scale is the row's largest absolute value over
    q = 2^(bits - 1) - 1, so that no entry is clipped and 0 stays 0. Inputs and states
    are not quantised.

    Arguments:
        bits: 2 to 8 per entry; 8 is called int8.
    """

    bits: int = 8

    def __post_init__(self):
        check_count("bits", self.bits, least=2)
        check_between("bits", self.bits, 2, 8)

    def encode(self, matrix: Matrix) -> Form:
        """Packed integers and the rows' scales."""
        q = largest(self.bits)
        scales = matrix.abs().amax(1) / q
        scales = torch.where(scales > 0, scales, torch.ones_like(scales))
        whole = (matrix / scales[:, None]).round().clamp(-q, q).long()
        packed = pack((whole + q).flatten(), self.bits)
        return smaller(Scaled(packed, scales, self.bits, matrix.shape[1]))


Scheme = Round | LowRank | Quantise
