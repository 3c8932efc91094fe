"""A histogram of gate values that is filled batch by batch."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_between, check_count


class Histogram:
    """Counts of values in [0, 1]; the values are not kept.

    Bin k holds the values of [k / bins, (k + 1) / bins), the last one 1 as well.

    Arguments:
        bins: how many, of equal width.

    Raises:
        ValueError: for less than one bin.

    Example:
        >>> h = Histogram(bins=10)
        >>> h.add(torch.tensor([0.02, 0.5, 0.97, 1.0]))
        >>> h.total, h.outside(0.1, 0.9), round(h.mean, 4)
        (4, 0.75, 0.6225)
    """

    def __init__(self, bins: int = 200):
        check_count("bins", bins)
        self.counts: Int[Tensor, " bins"] = torch.zeros(bins, dtype=torch.long)
        self._sum = 0.0

    def add(self, values: Float[Tensor, "*shape"]) -> None:
        """Count some more values, of any shape.

        Raises:
            ValueError: for a value outside [0, 1], or one that is not a number.
        """
        if not values.numel():
            return
        low, high = values.min().item(), values.max().item()
        if not (low >= 0 and high <= 1):
            raise ValueError(f"values lie in [{low}, {high}]; allowed: [0, 1]")
        bins = len(self.counts)
        values = values.detach()
        if values.dtype.itemsize < 4:  # a product in half precision leaves its bin
            values = values.float()
        places = (values.flatten() * bins).long().clamp(max=bins - 1)
        self.counts += torch.bincount(places.cpu(), minlength=bins)
        self._sum += values.sum(dtype=torch.float64).item()

    @property
    def total(self) -> int:
        """How many values were counted."""
        return int(self.counts.sum())

    @property
    def mean(self) -> float:
        """Of the values themselves; NaN without any."""
        return self._sum / self.total if self.total else float("nan")

    @property
    def shares(self) -> list[float]:
        """Each bin's share of all values."""
        return (self.counts / max(self.total, 1)).tolist()

    def outside(self, low: float, high: float) -> float:
        """The share of values below ``low`` or from ``high`` on; NaN without any.

        Raises:
            ValueError: if an end lies inside a bin, or ``low`` above ``high``.
        """
        check_between("low", low, 0, high)
        return self.below(low) + 1 - self.below(high)

    def below(self, end: float) -> float:
        """The share of values below ``end``; NaN without any.

        Raises:
            ValueError: if ``end`` lies inside a bin.
        """
        bins = len(self.counts)
        k = round(end * bins)
        if not 0 <= k <= bins or abs(k - end * bins) > 1e-6:
            raise ValueError(
                f"end is {end!r}; allowed: a multiple of 1/{bins} in [0, 1]"
            )
        return int(self.counts[:k].sum()) / self.total if self.total else float("nan")
