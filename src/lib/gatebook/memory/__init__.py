"""Cores with a memory of many rows, called as `gatebook.LSTM` is.

`rmc` holds the relational memory core, `relational` the equations of one of its steps,
`fused` and relational.c the same, fast on a CPU.
`dnc` holds the differentiable neural computer, `interface` what its controller asks,
`addressing` the equations of where it writes and reads; `printed` and `compiled` make
it fast.
"""

from gatebook.memory.dnc import DNC, DNCState
from gatebook.memory.rmc import RMC

__all__ = ["DNC", "RMC", "DNCState"]
