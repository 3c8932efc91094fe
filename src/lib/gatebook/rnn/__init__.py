"""Modules called as `torch.nn.LSTM` and `torch.nn.GRU` are, and the gate recorder."""

from gatebook.rnn.module import GRU, LSTM, RNN
from gatebook.rnn.record import record, unit_means

__all__ = ["GRU", "LSTM", "RNN", "record", "unit_means"]
