"""Episodes of Image Match as a strip of pictures, and as one picture that moves."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from gatebook.match.picture import PHASES, Frame
from gatebook.match.rooms import VIEW
from IPython.display import HTML
from jaxtyping import UInt8
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from numpy import ndarray

from gatebook_book.figures.plots import INK, WIDTH

SIDE = 2 * VIEW + 1
CELL = 16
"""Pixels of a cell in the moving picture."""
SECONDS = 0.4
"""How long each of its frames is shown."""
OUTLINE = "#d81b60"
"""The colour of the frame around what an agent sees."""


def strip(frames: Sequence[Frame]) -> Figure:
    """Some frames side by side: the room with the agent's window; what it sees below.

    Arguments:
        frames: as `gatebook.match.picture.film` gives them.
    """
    rows, columns = frames[0].room.shape[:2]
    fig, axes = plt.subplots(
        2,
        len(frames),
        figsize=(WIDTH + 1, 2.9),
        layout="constrained",
        squeeze=False,
        height_ratios=(rows / columns, 1),
    )
    for (above, below), frame in zip(axes.T, frames, strict=True):
        above.imshow(frame.room)
        above.add_patch(_outline(frame))
        above.set_title(f"{frame.phase}\nstep {frame.time}")
        below.imshow(frame.seen)
        for ax in (above, below):
            ax.set(xticks=[], yticks=[])
            ax.spines[:].set_visible(True)
    return fig


def _outline(frame: Frame) -> Rectangle:
    """What the agent sees, in the room's coordinates."""
    row, column = (place - VIEW - 0.5 for place in frame.at)
    return Rectangle(
        (column, row),
        SIDE,
        SIDE,
        fill=False,
        edgecolor=OUTLINE,
        linewidth=1.6,
        clip_on=False,
    )


def moving(frames: Sequence[Frame], description: str) -> HTML:
    """An episode that runs in a loop; a button below stops it and lets it go on.

    Arguments:
        frames: of one episode, in order.
        description: for those who do not see it.
    """
    rows, columns = frames[0].room.shape[:2]
    room = [_hex(frame.room) for frame in frames]
    seen = [_hex(frame.seen) for frame in frames]
    aside = (columns + 2 * VIEW) * CELL
    parts = [_grid(room, columns, VIEW * CELL), _grid(seen, SIDE, aside)]
    parts.append(_window(frames))
    parts += [_named(name, frames) for name in PHASES]
    width, height = aside + SIDE * CELL, (rows + 2 * VIEW) * CELL
    turn = "p.animationsPaused() ? p.unpauseAnimations() : p.pauseAnimations()"
    return HTML(
        f'<div><svg xmlns="http://www.w3.org/2000/svg" role="img"'
        f' aria-label="{description}" viewBox="0 0 {width} {height}"'
        f' width="{1.6 * width:.0f}" style="max-width: 100%">{"".join(parts)}</svg>'
        f'<p><button type="button" onclick="const p = this.closest(\'div\')'
        f'.firstChild; {turn}">Pause or play</button></p></div>'
    )


def _hex(pixels: UInt8[ndarray, "R C 3"]) -> list[str]:
    """The colours of the cells, row by row."""
    return [f"#{bytes(cell).hex()}" for cell in pixels.reshape(-1, 3)]


def _grid(frames: list[list[str]], columns: int, left: int) -> str:
    """Cells, each with the colours that it has one after the other."""
    top = VIEW * CELL  # room for the window of an agent at the edge
    return "".join(
        f'<rect x="{left + k % columns * CELL}" y="{top + k // columns * CELL}" '
        f'width="{CELL}" height="{CELL}" fill="{colours[0]}">'
        f"{_change('fill', colours)}</rect>"
        for k, colours in enumerate(zip(*frames, strict=True))
    )


def _window(frames: Sequence[Frame]) -> str:
    """The outline of what the agent sees."""
    ys = [f"{frame.at[0] * CELL}" for frame in frames]  # a margin of VIEW is there
    xs = [f"{frame.at[1] * CELL}" for frame in frames]
    size = SIDE * CELL
    return (
        f'<rect x="{xs[0]}" y="{ys[0]}" width="{size}" height="{size}" fill="none" '
        f'stroke="{OUTLINE}" stroke-width="2">'
        f"{_change('x', xs)}{_change('y', ys)}</rect>"
    )


def _named(name: str, frames: Sequence[Frame]) -> str:
    """The name of a phase, shown while it lasts."""
    shown = ["1" if frame.phase == name else "0" for frame in frames]
    return (
        f'<text x="0" y="12" font-size="12" fill="{INK}" opacity="{shown[0]}">'
        f"{name}{_change('opacity', shown)}</text>"
    )


def _change(what: str, values: Sequence[str]) -> str:
    """The animation of an attribute; nothing if it never changes."""
    if len(set(values)) == 1:
        return ""
    return (
        f'<animate attributeName="{what}" values="{";".join(values)}" '
        f'calcMode="discrete" dur="{SECONDS * len(values):g}s" '
        'repeatCount="indefinite"/>'
    )
