"""Program execution: read a program character by character, write its result.

Two languages are called "Learning to Execute". `sonnet` is DeepMind's, of Santoro et
al. (2018) and of P2 §3.5 and E.3; `zaremba` is that of Zaremba and Sutskever (2014).
"""

from gatebook.tasks.programs.language import Program
from gatebook.tasks.programs.task import Programs, constant_guess

__all__ = ["Program", "Programs", "constant_guess"]
