"""Figures with sliders: live in JupyterLab, and in the built page without a kernel.

Each computes in the browser and shares its values with Python both ways:

    >>> from gatebook.widgets import NoisyGate
    >>> gate = NoisyGate(tau=0.5)

As the last line of a cell ``gate`` shows the widget. Nothing else in the library
imports this package.
"""

from gatebook.widgets.detach_paths import DetachPaths
from gatebook.widgets.noisy_gate import NoisyGate
from gatebook.widgets.refine_band import RefineBand
from gatebook.widgets.timescales import Timescales

__all__ = ["DetachPaths", "NoisyGate", "RefineBand", "Timescales"]
