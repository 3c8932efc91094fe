"""Two gates that learn a task side by side, in the browser."""

import functools
import json
from typing import Any

import anywidget
import traitlets
from gatebook.files import read_text

from gatebook_book.widgets.base import FOLDER, Seed, Slider, module, sheet
from gatebook_book.widgets.webassembly import bundle

NAMES = ("LSTM", "CIFG", "U", "R", "UR", "O", "G2")
"""The gates that can be chosen."""


class Choice(traitlets.TraitType[Any, Any]):
    """One of some values."""

    def __init__(self, *allowed: Any):
        super().__init__(default_value=allowed[0])
        self.tag(sync=True)
        self.allowed = allowed

    def validate(self, obj: Any, value: Any) -> Any:
        """The value, if it is allowed."""
        if value not in self.allowed or isinstance(value, bool):
            allowed = ", ".join(map(repr, self.allowed))
            raise ValueError(f"{self.name} is {value!r}; allowed: {allowed}")
        return value


def _script() -> str:
    """The widget's module; what trains is in it as a text, for workers."""
    engine = json.dumps(read_text(FOLDER / "engine.mjs"))
    return f"const ENGINE = {engine};\n{module('units', 'playground')}"


@functools.cache
def stored_race() -> dict[str, Any]:
    """The race that is shown before anything is trained; made by ``tools/race.py``."""
    return json.loads(read_text(FOLDER / "race.json"))


class Playground(anywidget.AnyWidget):
    """Two models that learn a task side by side, trained in the browser.

    It shows both losses, the effective forget gates of all units over a sequence, the
    timescales of the units, and the answers. The loop over time and its derivative are
    the library's own, compiled to WebAssembly; `webassembly` and ``engine.mjs`` say
    how. At first a race is shown that was run before.

    Arguments:
        task: ``"copy"`` or ``"adding"``, see `gatebook.tasks`.
        delay: N, from 5 to 100 steps.
        left: one gate's name.
        right: the other's.
        left_p: probability of h-detach of the one, from 0 to 1.
        right_p: the same of the other.
        units: H, 16, 32 or 64.
        rate: Adam's, 0.001, 0.003, 0.01 or 0.03.
        seed: decides weights, batches and noise.
        small: whether to leave out all controls but the start.

    Raises:
        ValueError: for a value that is not allowed, here or when it is set later.
        NoCompiler: if the scan can neither be found nor compiled; see `webassembly`.

    Example:
        >>> Playground(task="adding", delay=60, left="LSTM", right="CIFG")
        Playground(task='adding', delay=60, left='LSTM', right='CIFG')
    """

    _esm = _script()
    _css = sheet("units")

    task = Choice("copy", "adding")
    delay = Slider(5, 100, whole=True)
    left = Choice(*NAMES)
    right = Choice(*NAMES)
    left_p = Slider(0, 1, step=0.05)
    right_p = Slider(0, 1, step=0.05)
    units = Choice(64, 32, 16)
    rate = Choice(0.01, 0.03, 0.003, 0.001)
    seed = Seed().tag(sync=True)
    small = traitlets.Bool().tag(sync=True)
    _ranges = traitlets.Dict().tag(sync=True)
    _bundle = traitlets.Dict().tag(sync=True)
    _race = traitlets.Dict().tag(sync=True)

    def __init__(
        self,
        *,
        task: str = "copy",
        delay: int = 20,
        left: str = "LSTM",
        right: str = "UR",
        left_p: float = 0.0,
        right_p: float = 0.0,
        units: int = 64,
        rate: float = 0.01,
        seed: int = 0,
        small: bool = False,
    ):
        sliders = {"delay": delay, "left_p": left_p, "right_p": right_p}
        super().__init__(
            task=task,
            left=left,
            right=right,
            units=units,
            rate=rate,
            seed=seed,
            small=small,
            _ranges={name: getattr(type(self), name).range for name in sliders},
            _bundle=bundle(NAMES),
            _race=stored_race(),
            **sliders,
        )

    def __repr__(self) -> str:
        names = ("task", "delay", "left", "right")
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"Playground({values})"
