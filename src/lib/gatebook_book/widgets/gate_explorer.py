"""Gates as training goes on: moments of two stored runs beside each other."""

import base64
import gzip
from typing import Any

import anywidget
import torch
import traitlets
from gatebook.files import read_text
from jaxtyping import Float
from torch import Tensor

from gatebook_book.paths import root
from gatebook_book.widgets.base import Slider, module, sheet
from gatebook_book.widgets.playground import Choice

FILE = "book/_static/copy-gates.js"
"""The moments; made by ``tools/snapshots.py``. A page loads them as a script, since one
that is opened from a file may load nothing else."""

METHODS = ("LSTM", "C", "U", "UR")
"""The gates that were watched."""

MOMENTS = (*range(0, 600, 100), *range(600, 3201, 200))
"""When, in steps of training."""

BEFORE, AFTER = "globalThis.gatebookSnapshots = ", ";\n"
"""What makes JSON a script."""

LIMIT = 8.0
"""Gates are told apart while their logit lies between this and its negative."""


def packed(gates: Float[Tensor, "*B T"]) -> str:
    """Gates in 8 bits each, as text.

    A byte holds the gate's logit, 1/16 apart, and comes as its difference from the one
    before, modulo 256: a gate hardly moves while it waits, so that gzip leaves little.
    Then base64.

    Example:
        >>> len(packed(torch.full((64, 100), 0.9))) < 100
        True
    """
    logit = gates.double().logit().clamp(-LIMIT, LIMIT)
    byte = ((logit + LIMIT) * (255 / (2 * LIMIT))).round().flatten()
    moved = byte.diff(prepend=byte.new_zeros(1)).remainder(256)
    content = gzip.compress(bytes(moved.to(torch.uint8).tolist()), 9, mtime=0)
    return base64.b64encode(content).decode()


def stored_moments() -> str:
    """The file's JSON."""
    return read_text(root() / FILE).removeprefix(BEFORE).removesuffix(AFTER)


class GateExplorer(anywidget.AnyWidget):
    """The gates of two runs of the copy page at a moment of their training.

    It shows the effective forget gates of all units over one sequence, the timescales
    of the units, the loss and the answers. The data are loaded when a reader opens it:
    from beside the page, or from a notebook's kernel.

    Arguments:
        left: one gate's name, of `METHODS`.
        right: the other's.
        moment: which of `MOMENTS`, from 0.
        order: when the timescales are taken by which units are sorted: ``"now"``,
            ``"end"`` or ``"start"``.

    Raises:
        ValueError: for a value that is not allowed, here or when it is set later.

    Example:
        >>> GateExplorer(left="U")
        GateExplorer(left='U', right='UR', moment=19, order='now')
    """

    _esm = module("units", "gate_explorer")
    _css = sheet("units")

    left = Choice(*METHODS)
    right = Choice(*METHODS)
    moment = Slider(0, len(MOMENTS) - 1, whole=True)
    order = Choice("now", "end", "start")
    opened = traitlets.Bool().tag(sync=True)
    _moments = traitlets.Unicode().tag(sync=True)
    _ranges = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        left: str = "LSTM",
        right: str = "UR",
        moment: int = len(MOMENTS) - 1,
        order: str = "now",
    ):
        ranges = {"moment": type(self).moment.range}
        given: dict[str, Any] = {"left": left, "right": right, "order": order}
        super().__init__(moment=moment, _ranges=ranges, **given)

    @traitlets.observe("opened")
    def _send_moments(self, change: Any) -> None:
        if self.opened and not self._moments:
            self._moments = stored_moments()

    def __repr__(self) -> str:
        names = ("left", "right", "moment", "order")
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"GateExplorer({values})"
