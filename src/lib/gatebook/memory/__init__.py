"""Cores with a memory of many rows, called as `gatebook.LSTM` is.

`dnc` holds the differentiable neural computer, `addressing` its equations.
"""

from gatebook.memory.dnc import DNC, DNCState

__all__ = ["DNC", "DNCState"]
