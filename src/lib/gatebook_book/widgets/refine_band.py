"""What the refine gate can make of a forget gate."""

from gatebook_book.widgets.base import Slider, Widget, module, sheet


class RefineBand(Widget):
    """The refine gate's band, as gates and as timescales (P2 §2.3, Appendix C).

    Left the effective gate g against the forget gate f, right the timescales
    1 / (1 - g) against D = 1 / (1 - f), each inside the band that r spans; D/2 is
    dotted. Below, the gradient's norm with the refine gate and the slope g (1 - g) of
    a plain gate of the same value. `gatebook_book.theory.refine` has the same formulas.

    Arguments:
        f: forget gate, from 0.01 to 0.999.
        r: refine gate, from 0 to 1.

    Raises:
        ValueError: for a value outside its range, here or when it is set later.

    Example:
        >>> RefineBand(f=0.99, r=1.0)
        RefineBand(f=0.99, r=1.0)
    """

    _esm = module("refine_band")
    _css = sheet()

    f = Slider(0.01, 0.999, scale="logit")
    r = Slider(0, 1)

    def __init__(self, *, f: float = 0.9, r: float = 0.5):
        super().__init__(f=f, r=r)
