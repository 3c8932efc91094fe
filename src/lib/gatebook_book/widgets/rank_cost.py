"""What low rank costs three trained language models, from the stored runs."""

import traitlets

from gatebook_book.runs.store import load
from gatebook_book.widgets.base import Slider, Widget, module, sheet

RANKS = {4: "svd-1/32", 7: "svd-64", 14: "svd-128", 32: "svd-1/4", 128: "original"}
"""Ranks of the models' 128 units, and what the stored runs call them."""

METHODS = ("LSTM0", "sharpened", "G2")


def stored_costs() -> dict[str, list[list[float]]]:
    """The test perplexities of each method: a list of seeds for each rank."""
    runs = [r for r in load("compression/language", "laptop") if r["rows"]]
    return {
        method: [
            [
                row["perplexity"]
                for run in runs
                if run["name"] == method
                for row in run["rows"]
                if row["variant"] == variant
            ]
            for variant in RANKS.values()
        ]
        for method in METHODS
    }


class RankCost(Widget):
    """Perplexity of three language models whose gates are cut to a low rank.

    Left the perplexity against the rank, each seed and the median. Right the rise over
    the uncut model at the chosen rank. The stored runs have five ranks and no singular
    values.

    Arguments:
        place: of the chosen rank in `RANKS`, from 1 to 5.

    Raises:
        ValueError: for a value outside its range, here or when it is set later.

    Example:
        >>> RankCost(place=2)
        RankCost(place=2)
    """

    _esm = module("rank_cost")
    _css = sheet()

    place = Slider(1, len(RANKS), whole=True)
    _costs = traitlets.Dict().tag(sync=True)

    def __init__(self, *, place: int = 5):
        super().__init__(place=place)
        self._costs = stored_costs()
