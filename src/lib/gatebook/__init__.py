"""gatebook: LSTMs and GRUs with gates that saturate, refine and detach.

The names that most users need are here. The packages have the rest: ``gates`` (the
grid), ``recurrence`` (one step, and the loop), ``rnn`` (the modules), ``fused`` (the
loop, fast), ``training``, ``tasks``, ``compress`` and ``language``.
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
