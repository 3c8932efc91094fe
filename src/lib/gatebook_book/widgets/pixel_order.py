"""A digit read pixel by pixel in three orders."""

import functools
import math
from typing import Any

import numpy as np
import traitlets
from jaxtyping import Float64, Int64

from gatebook_book.widgets.base import Seed, Slider, Widget, module, sheet, uniforms

SIDE = 28
LEVELS = 4
"""Shades of a pixel, from paper to ink."""

Points = Float64[np.ndarray, "n 2"]


def _line(*corners: tuple[float, float]) -> Points:
    """Points along straight strokes, x to the right and y down, in pixels."""
    share = np.linspace(0, 1, 60)[:, None]
    ends = np.asarray(corners)
    return np.concatenate(
        [a + share * (b - a) for a, b in zip(ends, ends[1:], strict=False)]
    )


def _arc(
    centre: tuple[float, float],
    radii: tuple[float, float],
    first: float = 0,
    last: float = 360,
) -> Points:
    """Points along a part of an ellipse; degrees, clockwise from the right."""
    angles = np.linspace(math.radians(first), math.radians(last), 120)[:, None]
    turn = np.concatenate([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(centre) + np.asarray(radii) * turn


STROKES = (
    (_arc((14, 14), (6, 8.5)),),
    (_line((11, 9), (14.5, 5.5), (14.5, 22.5)),),
    (
        _arc((14, 10), (5.5, 4.8), 180, 395),
        _line((18.5, 12.8), (8.5, 22.5), (20, 22.5)),
    ),
    (_arc((13.5, 9.8), (5, 4.3), 200, 450), _arc((13.5, 18.2), (5.8, 4.3), 270, 520)),
    (_line((17, 22.5), (17, 5.5), (8, 17), (21, 17)),),
    (
        _line((19.5, 5.5), (10.5, 5.5), (9.5, 13)),
        _arc((13.8, 17), (5.8, 5.3), 220, 500),
    ),
    (_arc((14, 17.3), (5.5, 5.2)), _arc((18, 17), (9.4, 11.5), 180, 270)),
    (_line((8.5, 5.5), (20, 5.5), (12, 22.5)),),
    (_arc((14, 9.7), (4.6, 4.2)), _arc((14, 18.1), (5.6, 4.5))),
    (_arc((13.8, 10.7), (5.5, 5.2)), _arc((9.9, 11), (9.4, 11.5), 0, 90)),
)
"""The ten digits, 0 to 9, as strokes of a pen."""


@functools.cache
def digits() -> Int64[np.ndarray, "10 784"]:
    """Ten digits in `LEVELS` shades, row by row."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    centres = np.stack([x.ravel(), y.ravel()], axis=1)
    made = []
    for strokes in STROKES:
        gaps = centres[:, None] - np.concatenate(strokes)
        ink = np.clip(1.9 - np.linalg.norm(gaps, axis=2).min(1), 0, 1)
        made.append(np.rint((LEVELS - 1) * ink).astype(np.int64))
    return np.stack(made)


def packed(shades: Int64[np.ndarray, " n"]) -> str:
    """Shades as text, one letter for two pixels.

    Example:
        >>> packed(np.array([0, 3, 2, 1]))
        '39'
    """
    return "".join(f"{LEVELS * a + b:x}" for a, b in shades.reshape(-1, 2))


class PixelOrder(Widget):
    """A digit of 28 by 28 pixels, read in rows, by bit reversal, and as drawn once.

    The last 196 steps, a quarter of all, show their ink in full, those before pale.
    Below, the share of the digit's ink that these steps read. A reader can draw into
    the digit. `gatebook_book.tasks.pixels` has the orders of the runs.

    Arguments:
        digit: 0 to 9; 10 is a blank sheet.
        step: so many pixels have been read, from 1 to 784.
        seed: seed of the drawn order; the button Redraw takes the next.

    Raises:
        ValueError: for a value outside its range, here or when it is set later.

    Example:
        >>> PixelOrder(digit=7)
        PixelOrder(digit=7, step=784, seed=0)
    """

    _esm = module("pixel_order")
    _css = sheet()

    digit = Slider(0, 10, whole=True)
    step = Slider(1, SIDE**2, whole=True)
    seed = Seed()
    _ink: traitlets.List[Any] = traitlets.List().tag(
        sync=True
    )  # pixels that the reader has drawn
    _digits: traitlets.List[Any] = traitlets.List().tag(sync=True)

    def __init__(self, *, digit: int = 3, step: int = SIDE**2, seed: int = 0):
        super().__init__(digit=digit, step=step, seed=seed, _ink=[])
        self._digits = [packed(one) for one in digits()]

    def drawn_order(self) -> Int64[np.ndarray, "784"]:
        """The pixels in the order that was drawn."""
        return np.argsort(uniforms(self.seed, SIDE**2), kind="stable")
