"""gatebook: LSTM gates that saturate, refine and detach, and what to learn from them.

The names most users need are here; the modules hold the rest:
`gates` (the grid), `cells` (one step), `scan` (the recurrence), `fused` (the same,
fast), `rnn` (the modules),
`record` (gate recorder), `compress` (small files), `tasks`, `train`, `results`,
`plots`, `run`.
"""

from gatebook.fused import reference
from gatebook.gates import GATES, NINE, Gate
from gatebook.random import reseed
from gatebook.rnn.cell import GRUCell, LSTMCell
from gatebook.rnn.module import GRU, LSTM
from gatebook.rnn.record import record

__all__ = [
    "GATES",
    "GRU",
    "LSTM",
    "NINE",
    "GRUCell",
    "Gate",
    "LSTMCell",
    "record",
    "reference",
    "reseed",
]
