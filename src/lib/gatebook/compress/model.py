"""A compressed model: which scheme where, what it takes, and the model to run."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from gatebook.compress import file
from gatebook.compress.forms import Form
from gatebook.compress.places import PARTS, Place, first_names, layers, shared_once
from gatebook.compress.schemes import LowRank, Quantise, Round, Scheme
from gatebook.rnn.names import without_names


@dataclass(frozen=True)
class Rule:
    """One scheme, and the weights it is for.

    Arguments:
        scheme: `Round`, `LowRank` or `Quantise`.
        gates: ``"own"`` for the gate's own blocks, ``"all"`` for these and the
            core's (update, output or reset), one name, or several.
        layers: names such as ``"l0"``, or ``"rnn.l1_reverse"`` inside a larger
            model; ``None`` for all.
        joint: whether [W_x, W_h] is one matrix. P1's code takes each separately; the
            paper's "12x at rank 64" counts them as one.
    """

    scheme: Scheme
    gates: str | Sequence[str] = "own"
    layers: Sequence[str] | None = None
    joint: bool = False

    def places(self, model: nn.Module) -> list[Place]:
        """The matrices of ``model`` that the rule is for; shared ones once."""
        groups = [PARTS] if self.joint else [(part,) for part in PARTS]
        every = [
            layer.place(parts, gate)
            for layer in layers(model, self.layers)
            for parts in groups
            for gate in layer.gates(self.gates)
        ]
        return shared_once(model, every)


@dataclass(frozen=True)
class Size:
    """The size of something before and after compression."""

    name: str
    numbers_before: int
    numbers: int
    bytes_before: int
    bytes: int

    @property
    def ratio(self) -> float:
        """How many times fewer bytes."""
        return self.bytes_before / self.bytes

    @property
    def ratio_of_numbers(self) -> float:
        """How many times fewer numbers, as P1 counts for its low-rank models."""
        return self.numbers_before / self.numbers

    def __str__(self) -> str:
        return (
            f"{self.name}: {self.numbers_before:,} to {self.numbers:,} numbers, "
            f"{self.bytes_before:,} to {self.bytes:,} bytes, "
            f"{self.ratio:.1f} times smaller"
        )


class Compressed:
    """A model whose gates are stored in small forms.

    Attributes:
        model: the model with its stored weights decoded, in evaluation mode. It is a
            copy; the model that was compressed stays as it was.
        forms: the stored form of each compressed matrix.
    """

    def __init__(self, model: nn.Module, forms: dict[Place, Form]):
        self.model, self.forms = model, forms

    def sizes(self) -> list[Size]:
        """One per compressed matrix, named "layer/part/gate"."""
        state = self.model.state_dict()
        return [_size(p, f, p.read(state)) for p, f in self.forms.items()]

    @property
    def compressed(self) -> Size:
        """All compressed matrices together."""
        sizes = self.sizes()
        fields = ("numbers_before", "numbers", "bytes_before", "bytes")
        sums = [sum(getattr(s, field) for s in sizes) for field in fields]
        return Size(f"{len(sizes)} blocks", *sums)

    @property
    def whole(self) -> Size:
        """All tensors of the model; a file adds a header of some kilobytes."""
        state = self.model.state_dict(keep_vars=True)
        state = file.distinct(without_names(state, self.model))
        numbers = sum(t.numel() for t in state.values())
        size = sum(t.nbytes for t in state.values())
        part = self.compressed
        fewer, less = part.numbers - part.numbers_before, part.bytes - part.bytes_before
        return Size("whole model", numbers, numbers + fewer, size, size + less)

    def save(self, path: Path | str) -> int:
        """Write the whole model to one safetensors file, and return its bytes."""
        return file.save(Path(path), self.model, self.forms)

    def rows(self) -> list[dict[str, Any]]:
        """The sizes as rows for the table of a page."""
        return [
            {
                "matrix": s.name,
                "numbers": s.numbers_before,
                "stored": s.numbers,
                "bytes": s.bytes_before,
                "stored bytes": s.bytes,
                "times smaller": s.ratio,
            }
            for s in [*self.sizes(), self.compressed, self.whole]
        ]

    def __str__(self) -> str:
        return f"{self.compressed}\n{self.whole}"


def apply(model: nn.Module, rules: Sequence[Rule]) -> Compressed:
    """Compress a model by several rules.

    Arguments:
        model: is or holds recurrent modules of gatebook or of torch. It is copied.
        rules: each names its weights; no weight may have two.

    Raises:
        ValueError: for unknown gates or layers, for two rules on one weight, or for
            weights that are not finite.

    Example:
        >>> from gatebook import LSTM
        >>> rules = [Rule(LowRank(2)), Rule(Quantise(8), ("update", "output"))]
        >>> len(apply(LSTM(6, 16), rules).forms)
        8
    """
    found = [(place, rule.scheme) for rule in rules for place in rule.places(model)]
    _check_apart(model, [place for place, _ in found])
    again = copy.deepcopy(model).eval()
    state = again.state_dict()
    forms = {place: scheme.encode(place.read(state)) for place, scheme in found}
    for place, form in forms.items():
        place.write(state, form.decode())
    return Compressed(again, forms)


def low_rank(
    model: nn.Module,
    rank: int,
    gates: str | Sequence[str] = "own",
    layers: Sequence[str] | None = None,
    joint: bool = False,
) -> Compressed:
    """The gates' weights at a low rank (P1 §4.3).

    Arguments:
        model: as for `apply`.
        rank: as for `LowRank`.
        gates: as for `Rule`, like the others.
        layers: which layers.
        joint: whether [W_x, W_h] is one matrix.
    """
    return apply(model, [Rule(LowRank(rank), gates, layers, joint)])


def rounded(
    model: nn.Module,
    step: float = 0.2,
    clip: float | None = None,
    gates: str | Sequence[str] = "own",
    layers: Sequence[str] | None = None,
) -> Compressed:
    """The gates' weights rounded to multiples of ``step`` (P1 §4.3).

    Arguments:
        model: as for `apply`.
        step: k, as for `Round`.
        clip: c, as for `Round`; P1's "round and clip" takes 2k.
        gates: as for `Rule`, like ``layers``.
        layers: which layers.
    """
    return apply(model, [Rule(Round(step, clip), gates, layers)])


def quantised(
    model: nn.Module,
    bits: int = 8,
    gates: str | Sequence[str] = "own",
    layers: Sequence[str] | None = None,
) -> Compressed:
    """The gates' weights as integers of few bits with one scale per row.

    Arguments:
        model: as for `apply`.
        bits: as for `Quantise`.
        gates: as for `Rule`, like ``layers``.
        layers: which layers.
    """
    return apply(model, [Rule(Quantise(bits), gates, layers)])


def _check_apart(model: nn.Module, places: list[Place]) -> None:
    """Raise if two rules are for one weight of one gate, by whatever name."""
    first = first_names(model.state_dict(keep_vars=True))
    taken: set[tuple[str, int]] = set()
    for place in places:
        for weight in place.weights:
            if (first[weight], place.first) in taken:
                raise ValueError(
                    f"rules name gate {place.gate!r} of {weight!r} twice; allowed: "
                    "one rule for each"
                )
            taken.add((first[weight], place.first))


def _size(place: Place, form: Form, matrix: Tensor) -> Size:
    return Size(place.name, matrix.numel(), form.numbers, matrix.nbytes, form.bytes)
