"""How long a unit with a constant forget gate remembers, and how fast it learns to."""

from gatebook_book.widgets.base import Slider, Widget, module, sheet


class UnitMemory(Widget):
    """What is left of an input after k steps, and the gradient of that share.

    Left f^k against the steps k, with the timescale D = 1 / (1 - f). Right, against
    the timescale, the gradient k f^k (1 - f) that a unit gets after k steps, largest
    at D = k + 1. `gatebook_book.theory.gate` has the same formulas.

    Arguments:
        bias: b, the gate's constant pre-activation, from -2 to 8; f = σ(b).
        steps: k, for how long the task wants the input, from 1 to 1,000 steps.

    Raises:
        ValueError: for a value outside its range, here or when it is set later.

    Example:
        >>> UnitMemory(bias=4.6)
        UnitMemory(bias=4.6, steps=100)
    """

    _esm = module("unit_memory")
    _css = sheet()

    bias = Slider(-2, 8, step=0.1)
    steps = Slider(1, 1000, scale="log", whole=True)

    def __init__(self, *, bias: float = 1.0, steps: int = 100):
        super().__init__(bias=bias, steps=steps)
