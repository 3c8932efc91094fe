"""Two texts side by side, line by line, and what was left out of them."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import NamedTuple

from gatebook.errors import DataError, check_choice, check_count, check_lines
from gatebook.language.lines import text_lines
from gatebook.translate.words import CUTS

SPLITS = ("train", "valid", "test")


class Part(NamedTuple):
    """Pairs of lines; words are separated by single blanks."""

    source: tuple[str, ...]
    target: tuple[str, ...]


@dataclass(frozen=True)
class Bitext:
    """Pairs to train on, to select by and to judge by.

    Attributes:
        name: of the set.
        parts: ``"train"``, ``"valid"``, ``"test"``, and whatever else there is to
            judge by.
        cuts: how lines of either side are cut into words: names of
            `gatebook.translate.words.CUTS`.
        origin: one line on where the pairs come from.
        title: the set's full name.
        licence: as its owner states it.
        skipped: pairs left out, by part and reason: ``"train, empty": 3``.

    Raises:
        ValueError: for an unknown way to cut lines.
        DataError: if one of the three parts has no pairs.
    """

    name: str
    parts: Mapping[str, Part]
    cuts: tuple[str, str] = ("blanks", "blanks")
    origin: str = ""
    title: str = ""
    licence: str = "unknown"
    skipped: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self):
        for cut in self.cuts:
            check_choice("cuts", cut, CUTS)
        for split in SPLITS:
            if not self.parts.get(split) or not self.parts[split].source:
                raise DataError(
                    f"{self.name!r} has no pairs in its part {split!r}; left out were "
                    f"{dict(self.skipped) or 'none'}; allowed: at least one pair"
                )

    def limited(self, longest: int) -> "Bitext":
        """The same without pairs in which either side has more than ``longest`` words.

        Raises:
            DataError: if a part has no pairs left.
        """
        check_count("longest", longest)
        counts: Counter[str] = Counter()
        parts = {}
        for split, part in self.parts.items():
            kept = [
                pair
                for pair in zip(*part, strict=True)
                if all(line.count(" ") < longest for line in pair)
            ]
            counts[f"{split}, more than {longest} words"] = len(part[0]) - len(kept)
            parts[split] = _part(kept)
        return replace(self, parts=parts, skipped={**self.skipped, **+counts})


def made(
    name: str,
    raw: Mapping[str, tuple[Iterable[str], Iterable[str]]],
    cuts: tuple[str, str] = ("blanks", "blanks"),
    **facts: str,
) -> Bitext:
    """Cut lines into words; pairs with an empty side are left out and counted.

    Arguments:
        name: of the set.
        raw: the lines of each part, source and target.
        cuts: how; names of `gatebook.translate.words.CUTS`.
        facts: ``origin``, ``title``, ``licence``.

    Raises:
        ValueError: for an unknown way to cut lines.
        TypeError: for one string in place of lines.
        DataError: if the sides have unequal numbers of lines, or nothing is left.
    """
    parts, counts = {}, Counter[str]()
    for cut in cuts:
        check_choice("cuts", cut, CUTS)
    for split, sides in raw.items():
        for side, lines in zip(Part._fields, sides, strict=True):
            check_lines(f"{split}, {side}", lines)
        source, target = (
            [" ".join(CUTS[cut](line)) for line in lines]
            for cut, lines in zip(cuts, sides, strict=True)
        )
        if len(source) != len(target):
            raise DataError(
                f"{split} of {name!r} has {len(source)} source lines and "
                f"{len(target)} target lines; allowed: as many on either side"
            )
        kept = [pair for pair in zip(source, target, strict=True) if all(pair)]
        counts[f"{split}, empty"] = len(source) - len(kept)
        parts[split] = _part(kept)
    return Bitext(name, parts, cuts, skipped=dict(+counts), **facts)


def from_files(
    name: str,
    files: Mapping[str, tuple[Path | str, Path | str]],
    cuts: tuple[str, str] = ("blanks", "blanks"),
    **facts: str,
) -> Bitext:
    """Your own pairs: two files for each part, a line of one for a line of the other.

    Arguments:
        name: of the set.
        files: ``{"train": (source, target), "valid": …, "test": …}``, in UTF-8.
        cuts: how lines are cut into words; by default they are cut already.
        facts: ``origin``, ``title``, ``licence``.

    Raises:
        DataError: for a file that is missing, empty or not UTF-8, for unequal numbers
            of lines, and if no pair is left.
    """
    raw = {
        split: (text_lines(f"{split}, source", a), text_lines(f"{split}, target", b))
        for split, (a, b) in files.items()
    }
    return made(name, raw, cuts, **({"origin": "own files"} | facts))


def _part(pairs: list[tuple[str, str]]) -> Part:
    source, target = zip(*pairs, strict=True) if pairs else ((), ())
    return Part(source, target)
