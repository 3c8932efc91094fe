"""What the widgets share: checked parameters, and their part in the browser."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import anywidget
import numpy as np
import traitlets
from gatebook.errors import check_between, check_choice, check_count
from gatebook.files import read_text
from jaxtyping import Float64, UInt64

from gatebook_book.figures.plots import COLOURS

FOLDER = Path(__file__).parent
SCALES = ("linear", "log", "logit")


class Slider(traitlets.TraitType[Any, Any]):
    """A number between two ends that a slider in the browser moves.

    The value is checked whenever it is set, also by a running notebook. The browser
    takes the range from here and keeps to it.

    Arguments:
        low: the least value.
        high: the largest value.
        scale: how values lie along the slider: ``"linear"``, ``"log"`` for periods,
            ``"logit"`` for gates near 1.
        step: the slider's step, on a linear scale.
        whole: whether only integers are allowed.
    """

    def __init__(
        self,
        low: float,
        high: float,
        scale: str = "linear",
        step: float = 0.01,
        whole: bool = False,
    ):
        check_choice("scale", scale, SCALES)
        super().__init__(default_value=low)
        self.tag(sync=True)
        self.low, self.high, self.whole = low, high, whole
        self.range = dict(
            low=low, high=high, scale=scale, step=1 if whole else step, whole=whole
        )

    def validate(self, obj: Any, value: Any) -> float | int:
        """The value, if it is allowed."""
        name = self.name or "value"
        if self.whole:
            check_count(name, value, int(self.low))
        check_between(name, value, self.low, self.high)
        return value if self.whole else float(value)


class Chosen(traitlets.TraitType[Any, Any]):
    """Some of several names, in any order, that boxes in the browser tick.

    Arguments:
        names: those there are.
    """

    default_value: Any = []

    def __init__(self, names: Iterable[str]):
        super().__init__()
        self.tag(sync=True)
        self.names = tuple(names)

    def validate(self, obj: Any, value: Any) -> list[str]:
        """The names as a list, if each is known."""
        name = self.name or "value"
        if not isinstance(value, list | tuple):
            raise ValueError(f"{name} is {value!r}; allowed: a list of names")
        for one in value:
            check_choice(name, one, self.names)
        return list(value)


class Seed(traitlets.TraitType[Any, Any]):
    """An integer of at least 0, from which the browser draws its numbers."""

    default_value = 0

    def __init__(self) -> None:
        super().__init__()
        self.tag(sync=True)

    def validate(self, obj: Any, value: Any) -> int:
        """The seed, if it is one."""
        check_count(self.name or "seed", value, 0)
        return value


def uniforms(seed: int, size: int) -> Float64[np.ndarray, " size"]:
    """The numbers in (0, 1) that the browser draws with a seed, see ``kit.mjs``."""
    counters = 0x9E3779B9 * np.arange(1, size + 1, dtype=np.uint64)
    start = _mixed(np.array([(seed + 1) % 2**32], dtype=np.uint64))
    return (_mixed(start + counters) + 0.5) / 2**32


def _mixed(values: UInt64[np.ndarray, " n"]) -> UInt64[np.ndarray, " n"]:
    """32 bits, each of which depends on all: the end of MurmurHash3 (A. Appleby)."""
    whole = np.uint64(2**32 - 1)
    for shift, factor in ((16, 0x85EBCA6B), (13, 0xC2B2AE35)):
        values = values & whole
        values = (values ^ (values >> np.uint64(shift))) * np.uint64(factor)
    values = values & whole
    return values ^ (values >> np.uint64(16))


class Widget(anywidget.AnyWidget):
    """A figure with sliders that computes in the browser, with or without a kernel."""

    _ranges = traitlets.Dict().tag(sync=True)
    _start = traitlets.Dict().tag(sync=True)  # where the button Reset leads

    def __init__(self, **values: Any):
        super().__init__(_ranges=self.ranges(), _start=values, **values)

    @classmethod
    def ranges(cls) -> dict[str, dict[str, Any]]:
        """The range of each slider, by the name of its trait, in their order."""
        return {name: t.range for name, t in cls._own() if isinstance(t, Slider)}

    @classmethod
    def choices(cls) -> dict[str, tuple[str, ...]]:
        """The names to choose from, by the trait that holds those chosen."""
        return {name: t.names for name, t in cls._own() if isinstance(t, Chosen)}

    @classmethod
    def _own(cls) -> Iterator[tuple[str, Any]]:
        # Through all bases: anywidget puts each instance into a class of its own.
        return (item for base in cls.__mro__ for item in vars(base).items())

    def __repr__(self) -> str:
        names = [*self.ranges(), *self.choices()]
        names += ["seed"] if self.has_trait("seed") else []
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__name__}({values})"


def module(*names: str) -> str:
    """The source of a widget's ES module: what all share, then its own files.

    Joined to one text, since a module in a notebook cannot import its neighbour.
    """
    return "".join(read_text(FOLDER / f"{name}.mjs") for name in ("kit", *names))


def sheet(*names: str) -> str:
    """The widgets' style sheet, with the book's colours as variables.

    Arguments:
        names: of further sheets, which few widgets need.
    """
    colours = "".join(f"  --gatebook-{k}: {v};\n" for k, v in COLOURS.items())
    rules = "".join(read_text(FOLDER / f"{name}.css") for name in ("kit", *names))
    return f".gatebook-widget {{\n{colours}}}\n{rules}"
