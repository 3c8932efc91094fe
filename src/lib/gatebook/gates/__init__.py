r"""The grid of gates: from pre-activations to the effective forget and input gates.

A gate is a choice along four independent axes:

=============  ==========================================================
activation     `Constant`, `Chrono`, `Uniform`, `Ordered`
auxiliary      `Plain` (none), `Tied`, `Master`, `Refine`
noise          `Silent` (none), `Gumbel`, `Sharpened`
gradient       `Full`, `HDetach`, `CDetach`
=============  ==========================================================

`GATES` lists the papers' names as points of this grid.

Papers: P1 G2-LSTM (Li et al. 2018), P2 UR-LSTM (Gu et al. 2020), P3 h-detach
(Kanuparthi et al. 2019) in Didolkar's report.
"""

from gatebook.gates.activation import (
    Activation,
    Chrono,
    Constant,
    Ordered,
    Uniform,
    cumax,
)
from gatebook.gates.auxiliary import (
    Auxiliary,
    Blocks,
    Master,
    Plain,
    Refine,
    Tied,
    refine,
)
from gatebook.gates.gradient import CDetach, Full, GradientRule, HDetach
from gatebook.gates.grid import (
    GATES,
    NINE,
    Gate,
    resolve,
    with_detach,
    with_probability,
)
from gatebook.gates.noise import Gumbel, Noise, Sharpened, Silent

__all__ = [
    "GATES",
    "NINE",
    "Activation",
    "Auxiliary",
    "Blocks",
    "CDetach",
    "Chrono",
    "Constant",
    "Full",
    "Gate",
    "GradientRule",
    "Gumbel",
    "HDetach",
    "Master",
    "Noise",
    "Ordered",
    "Plain",
    "Refine",
    "Sharpened",
    "Silent",
    "Tied",
    "Uniform",
    "cumax",
    "refine",
    "resolve",
    "with_detach",
    "with_probability",
]
