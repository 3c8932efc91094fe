"""How long units remember at the start, under four initialisations."""

from gatebook_book.widgets.base import Slider, Widget, module, sheet


class Timescales(Widget):
    """The share P(D > z) of units that remember for longer than z steps (P2 Table 4).

    Left the four survival functions on logarithmic axes, right the four shares at the
    chosen z. `gatebook_book.theory.timescales` has the same formulas.

    Arguments:
        x: the length z asked about, from 1 to 10,000 steps.
        bias: forget bias b of the constant initialisation, from -2 to 8.
        t_max: the longest period of chrono, from 3 to 10,000 steps.
        units: H, the number of units of uniform and ordered gates, from 3 to 4,096.

    Raises:
        ValueError: for a value outside its range, here or when it is set later.

    Example:
        >>> Timescales(x=500.0, units=256)
        Timescales(x=500.0, bias=1.0, t_max=784.0, units=256)
    """

    _esm = module("timescales")
    _css = sheet()

    x = Slider(1, 10_000, scale="log")
    bias = Slider(-2, 8, step=0.1)
    t_max = Slider(3, 10_000, scale="log")
    units = Slider(3, 4096, scale="log", whole=True)

    def __init__(
        self,
        *,
        x: float = 100.0,
        bias: float = 1.0,
        t_max: float = 784.0,
        units: int = 512,
    ):
        super().__init__(x=x, bias=bias, t_max=t_max, units=units)
