"""Figures with sliders: live in JupyterLab, and in the built page without a kernel.

Each computes in the browser and shares its values with Python both ways:

    >>> from gatebook_book.widgets import NoisyGate
    >>> gate = NoisyGate(tau=0.5)

As the last line of a cell ``gate`` shows the widget. Nothing else in the library
imports this package.
"""

from gatebook_book.widgets.detach_paths import DetachPaths
from gatebook_book.widgets.gate_explorer import GateExplorer
from gatebook_book.widgets.gate_words import GateWords
from gatebook_book.widgets.horizon import Horizon
from gatebook_book.widgets.noisy_gate import NoisyGate
from gatebook_book.widgets.pixel_order import PixelOrder
from gatebook_book.widgets.playground import Playground
from gatebook_book.widgets.rank_cost import RankCost
from gatebook_book.widgets.refine_band import RefineBand
from gatebook_book.widgets.timescales import Timescales
from gatebook_book.widgets.unit_memory import UnitMemory

__all__ = [
    "DetachPaths",
    "GateExplorer",
    "GateWords",
    "Horizon",
    "NoisyGate",
    "PixelOrder",
    "Playground",
    "RankCost",
    "RefineBand",
    "Timescales",
    "UnitMemory",
]
