"""Modules called as `torch.nn.LSTM` and `torch.nn.GRU` are, and the gate recorder.

`module` holds the modules, `cell` the cells for one step, `gated` what both share,
`stack` the one function that runs their layers, `lengths`
what sequences of different lengths need, `checks` the checks of what a user passes in,
`interop` the way to torch's modules and back, `names` what a state says of its gate,
`record` the recorder.
"""

from gatebook.rnn.cell import GRUCell, LSTMCell
from gatebook.rnn.module import GRU, LSTM, RNN
from gatebook.rnn.names import name_gates
from gatebook.rnn.record import record, unit_means
from gatebook.rnn.together import fit_each_other, together

__all__ = [
    "GRU",
    "GRUCell",
    "LSTM",
    "LSTMCell",
    "RNN",
    "fit_each_other",
    "name_gates",
    "record",
    "together",
    "unit_means",
]
