"""Linear-recurrent cells, the gates' later form; called as `gatebook.LSTM` is.

`recurrence` holds h_t = a_t h_{t-1} + b_t as one operation, recurrence.c and
recurrence.triton the same for CPUs and GPUs, `scans` other ways to it. `gates` has the
grid's gates for all steps at once, `starts` the laws that they start by. `cell` is what
all cells share, `vector`, `diagonal`, `matrix` and `slstm` have their equations.
"""

from gatebook.modern.diagonal import Mamba
from gatebook.modern.matrix import GLA, MLSTM
from gatebook.modern.recurrence import linear_recurrence
from gatebook.modern.slstm import SLSTM
from gatebook.modern.starts import Graded, LogUniform, Ring, Spaced, Steps
from gatebook.modern.vector import HGRN, RGLRU, Bounds, MinGRU, MinLSTM

CELLS = {
    "minGRU": MinGRU,
    "minLSTM": MinLSTM,
    "HGRN": HGRN,
    "RG-LRU": RGLRU,
    "Mamba": Mamba,
    "GLA": GLA,
    "mLSTM": MLSTM,
    "sLSTM": SLSTM,
}
"""The cells by their papers' names."""

__all__ = [
    "CELLS",
    "GLA",
    "HGRN",
    "MLSTM",
    "RGLRU",
    "SLSTM",
    "Bounds",
    "Graded",
    "LogUniform",
    "Mamba",
    "MinGRU",
    "MinLSTM",
    "Ring",
    "Spaced",
    "Steps",
    "linear_recurrence",
]
