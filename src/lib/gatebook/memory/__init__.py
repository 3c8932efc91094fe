"""Cores with a memory of many rows, called as `gatebook.LSTM` is.

`rmc` holds the relational memory core, `relational` the equations of one of its steps.
"""

from gatebook.memory.rmc import RMC

__all__ = ["RMC"]
