"""How many gates of a model start with a timescale that serves a horizon."""

from collections.abc import Sequence

from gatebook_book.theory.laws import LAWS
from gatebook_book.widgets.base import Chosen, Slider, Widget, module, sheet


class Horizon(Widget):
    """The share of gates with a timescale in [L/2, 2L] at the start, model by model.

    Left the share against the horizon, right the shares at the chosen L.
    `gatebook_book.theory.laws` has the laws and the code each was read from.

    Arguments:
        horizon: L, from 1 to 10,000 steps.
        models: names of `LAWS`.

    Raises:
        ValueError: for a value outside its range or an unknown model, here or when it
            is set later.

    Example:
        >>> Horizon(horizon=500.0, models=["S4", "UGI"])
        Horizon(horizon=500.0, models=['S4', 'UGI'])
    """

    _esm = module("horizon")
    _css = sheet()

    horizon = Slider(1, 10_000, scale="log")
    models = Chosen(LAWS)

    def __init__(
        self,
        *,
        horizon: float = 100.0,
        models: Sequence[str] = ("UGI", "chrono", "S4", "RG-LRU", "RG-LRU paper"),
    ):
        super().__init__(horizon=horizon, models=models)
