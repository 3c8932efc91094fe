"""Compression of gates: few levels, low rank, int8 and 4 bits (P1 §4.3).

A model is compressed, stored small, and read again in three lines:

    >>> import tempfile, torch
    >>> from gatebook import LSTM, compress
    >>> model, file = LSTM(40, 64, gate="G2"), f"{tempfile.mkdtemp()}/m.safetensors"
    >>> small = compress.low_rank(model, rank=8)
    >>> written = small.save(file)
    >>> again = compress.load(file)

    >>> x = torch.randn(7, 3, 40)
    >>> torch.equal(again(x)[0], small.model(x)[0])
    True
    >>> print(small)
    4 blocks: 13,312 to 3,712 numbers, 53,248 to 14,848 bytes, 3.6 times smaller
    whole model: 27,136 to 17,536 numbers, 108,544 to 70,144 bytes, 1.5 times smaller

``model`` may be any module that holds `gatebook.LSTM`, `gatebook.GRU`,
`torch.nn.LSTM` or `torch.nn.GRU`. A file holds a whole model: one that is a recurrent
module itself is built from the file; any other is read with ``load(file, into=…)``.

======================  ==================================================
`rounded`               multiples of k, with or without clipping (P1 eqs. 17, 18)
`low_rank`              truncated singular value decomposition (P1 §4.3)
`quantised`             int8 to 2 bits with one scale per row; not in P1
`apply`                 several rules at once, such as low rank and int8
`flatness`              the loss after random changes of the gates (P1 §3.2)
`sharpness`             the loss after the worst change, to first order
======================  ==================================================

As in P1's code, weights are compressed and biases are not. Gates are chosen by name:
``gates="own"`` means the blocks of the gate itself, which are P1's input and forget
gates in an LSTM, and ``"refine"``, ``"master_forget"`` and ``"master_input"`` where a
gate has them. A GRU's input gate is tied and has no block.

A factored matrix is stored factored and multiplied out on loading, because the fused
scan takes whole matrices: files shrink, and the model runs at its usual speed. The
product is taken in float64 and rounded, so that it does not depend on the order of
the sum but in rare last bits; on one machine the outputs are equal bit for bit.
"""

from gatebook.compress.file import load
from gatebook.compress.model import (
    Compressed,
    Rule,
    Size,
    apply,
    low_rank,
    quantised,
    rounded,
)
from gatebook.compress.perturb import Flatness, flatness, sharpness
from gatebook.compress.schemes import LowRank, Quantise, Round

__all__ = [
    "Compressed",
    "Flatness",
    "LowRank",
    "Quantise",
    "Round",
    "Rule",
    "Size",
    "apply",
    "flatness",
    "load",
    "low_rank",
    "quantised",
    "rounded",
    "sharpness",
]
