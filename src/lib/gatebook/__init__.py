"""gatebook: LSTMs and GRUs with gates that saturate, refine and detach.

The names that most users need are here. The packages have the rest: ``gates`` (the
grid), ``recurrence`` (one step, and the loop), ``rnn`` (the modules), ``memory`` (cores
with a memory), ``modern`` (linear-recurrent cells), ``fused`` (the loop, fast),
``training``, ``tasks``, ``match`` (a world), ``agents``, ``compress``, ``language`` and
``translate``.

All of it is imported at once, and `fused` registers its operator with PyTorch. Only
in a program that sets the environment variable ``GATEBOOK_LAZY`` first, as the
command `gatebook` does, is each name imported when it is first used, and torch with
it.
"""

import importlib
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # what type checkers and editors read; `_HOMES` says the same
    from gatebook.fused import reference
    from gatebook.gates import GATES, NINE, Gate
    from gatebook.memory.dnc import DNC
    from gatebook.memory.rmc import RMC
    from gatebook.random import reseed
    from gatebook.rnn.cell import GRUCell, LSTMCell
    from gatebook.rnn.module import GRU, LSTM
    from gatebook.rnn.record import record

    __version__: str

__all__ = [
    "DNC",
    "GATES",
    "GRU",
    "LSTM",
    "NINE",
    "RMC",
    "GRUCell",
    "Gate",
    "LSTMCell",
    "record",
    "reference",
    "reseed",
]

_HOMES = {
    "DNC": "memory",
    "GATES": "gates",
    "GRU": "rnn",
    "GRUCell": "rnn",
    "LSTM": "rnn",
    "LSTMCell": "rnn",
    "NINE": "gates",
    "RMC": "memory",
    "Gate": "gates",
    "record": "rnn",
    "reference": "fused",
    "reseed": "random",
}
_MODULES = (
    *("agents", "checked", "compress", "errors", "files", "fused", "gates", "language"),
    *("match", "memory", "modern", "modes", "random", "recurrence", "rnn", "tasks"),
    *("training",),
)


def __getattr__(name: str) -> Any:
    """A public name or module, imported now; ``__version__`` as it is installed."""
    if name == "__version__":
        value: Any = importlib.import_module("importlib.metadata").version("gatebook")
    elif name in _HOMES:
        home = importlib.import_module(f"gatebook.{_HOMES[name]}")
        value = getattr(home, name)
    elif name in _MODULES:
        return importlib.import_module(f"gatebook.{name}")
    else:
        raise AttributeError(f"module 'gatebook' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), "__version__", *_HOMES, *_MODULES})


if "GATEBOOK_LAZY" not in os.environ:
    for _name in __all__:
        __getattr__(_name)
    del _name
