"""A text as three rows of word ids, and its vocabulary."""

import functools
import hashlib
from array import array
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Int64
from torch import Tensor

from gatebook.errors import DataError, check_between, check_count
from gatebook.language.lines import Lines, Parts, text_lines, words_and_marks

EOS, UNK = "<eos>", "<unk>"


@dataclass(frozen=True, eq=False)
class Corpus:
    """Words of a text as numbers.

    Arguments:
        name: ``"kjv"``, ``"ptb"``, ``"wikitext-2"``, ``"wikitext-103"`` or ``"text"``.
        train: ids of all words in order, each line ended by ``<eos>``.
        valid: the same.
        test: the same.
        words: the word of each id, the most frequent in training first.
        source: one line for pages and results.
        title: the text's name on a model's card.
        licence: the text's, for a model's card.
    """

    name: str
    train: Int64[Tensor, " train"]
    valid: Int64[Tensor, " valid"]
    test: Int64[Tensor, " test"]
    words: tuple[str, ...]
    source: str
    title: str = "a text of its own"
    licence: str = "that of the text, which only its owner knows"

    @property
    def eos(self) -> int:
        """The id of the word that ends each line."""
        return self._index[EOS]

    @property
    def vocabulary_size(self) -> int:
        """How many words have an id, including ``<eos>`` and ``<unk>``."""
        return len(self.words)

    @functools.cached_property
    def sum(self) -> str:
        """The first 16 digits of the SHA-256 of words and ids."""
        digest = hashlib.sha256("\n".join(self.words).encode())
        for ids in (self.train, self.valid, self.test):
            digest.update(f"\n{len(ids)}\n".encode() + ids.numpy().tobytes())
        return digest.hexdigest()[:16]

    @functools.cached_property
    def articles(self) -> dict[str, Int64[Tensor, " articles"]] | None:
        """Where each article's title begins in each part; WikiText has titles only."""
        if not self.name.startswith("wikitext"):
            return None
        equals = self._index["="]
        parts = {"train": self.train, "valid": self.valid, "test": self.test}
        return {name: _titles(ids, self.eos, equals) for name, ids in parts.items()}

    @functools.cached_property
    def _index(self) -> dict[str, int]:
        return {word: id for id, word in enumerate(self.words)}

    def first(self, n: int) -> "Corpus":
        """The first ``n`` tokens of train, ``n // 10`` of valid and of test.

        The vocabulary stays. For tests and tiny runs.
        """
        check_count("n", n, 10)
        check_between("n", n, 10, len(self.train))
        return replace(
            self,
            train=self.train[:n],
            valid=self.valid[: n // 10],
            test=self.test[: n // 10],
            source=f"{self.source}; the first {n:,} tokens only",
        )

    def encode(self, text: str) -> Int64[Tensor, " N"]:
        """Ids of a text; the end of a line is ``<eos>``.

        A piece between two spaces that is in the vocabulary is taken as it stands.
        Any other is cut into words and marks. Of these, one that is not in the
        vocabulary is taken in lower case, and one that is not there either becomes
        ``<unk>``.

        Raises:
            ValueError: for an unknown word if the vocabulary has no ``<unk>``.
        """
        ids: list[int] = []
        for piece in text.replace("\n", f" {EOS} ").split():
            words = [piece] if piece in self._index else words_and_marks(piece)
            ids.extend(map(self._id, words))
        return torch.tensor(ids, dtype=torch.int64, device="cpu")

    def _id(self, word: str) -> int:
        for form in (word, word.lower(), UNK):
            if form in self._index:
                return self._index[form]
        raise ValueError(
            f"text has the word {word!r}; allowed: the {len(self.words)} words of "
            f"{self.name}, whose vocabulary has no {UNK}"
        )

    def decode(self, ids: Int64[Tensor, " N"]) -> str:
        """Words joined by spaces, ``<eos>`` as the end of a line."""
        text = " ".join(self.words[id] for id in ids.tolist()).replace(EOS, "\n")
        return text.replace(" \n", "\n").replace("\n ", "\n")


def _titles(
    ids: Int64[Tensor, " N"], eos: int, equals: int
) -> Int64[Tensor, " articles"]:
    """Begins of the lines ``= Title =`` that stand between two empty lines.

    Headings within an article have two signs or more on each side; some lines of
    tables have one, but no empty line beside them.
    """
    end = (ids == eos).nonzero().flatten()
    start = torch.cat([end.new_zeros(1), end + 1])[: len(end)]
    empty = torch.nn.functional.pad(end == start, (1, 1), value=True)
    title = empty[:-2] & empty[2:] & (end - start >= 3)
    start, end = start[title], end[title]
    single = (ids[start + 1] != equals) & (ids[end - 2] != equals)
    return start[single & (ids[start] == equals) & (ids[end - 1] == equals)]


def from_files(
    train: str | Path,
    valid: str | Path | None = None,
    test: str | Path | None = None,
    least: int = 1,
) -> Corpus:
    """Your own text: words between white space, one sentence or paragraph per line.

    Empty lines are left out. `gatebook.language.lines.tokens` separates words from
    marks, if needed.

    Arguments:
        train: a file in UTF-8.
        valid: the same; without it, a tenth of the lines at train's end is taken.
        test: the same.
        least: words that occur fewer times in train become ``<unk>``, as do words
            that do not occur there. With 1, training never meets ``<unk>``.

    Raises:
        DataError: if a file is missing, empty, not UTF-8 or too short.
    """
    check_count("least", least)
    files = {"train": train, "valid": valid, "test": test}
    given = {name: _own(name, path) for name, path in files.items() if path is not None}
    parts = _with_tenths(given, train)
    return numbered("text", parts, f"text of {Path(train).name}", least)


def _own(parameter: str, path: str | Path) -> list[list[str]]:
    lines = [line.split() for line in text_lines(parameter, path)]
    for number, words in enumerate(lines, 1):
        if EOS in words:
            raise DataError(
                f"{parameter} names {path}, whose line {number} has the word {EOS}; "
                "allowed: none, since each line's end becomes one"
            )
    return [words for words in lines if words]


def _with_tenths(given: dict[str, list[list[str]]], path: str | Path) -> Parts:
    """Cut the parts that are not given from train's end."""
    lines, tenth = given["train"], len(given["train"]) // 10
    missing = [name for name in ("valid", "test") if name not in given]
    if missing and not tenth:
        raise DataError(
            f"train names {path}, which has {len(lines)} lines with words; allowed: 10 "
            f"or more, or a file for {' and '.join(missing)}"
        )
    parts = dict(given)
    for name in reversed(missing):
        lines, parts[name] = lines[:-tenth], lines[-tenth:]
    return parts | {"train": lines}


def numbered(name: str, parts: Parts, source: str, least: int) -> Corpus:
    """Number the words of three parts.

    Arguments:
        name: the text's.
        parts: lines of words of ``"train"``, ``"valid"`` and ``"test"``.
        source: one line for pages and results.
        least: words that occur fewer times in train become ``<unk>``.
    """
    index: dict[str, int] = {EOS: 0, UNK: 1}
    train = _frequent(parts["train"], least) if least > 1 else parts["train"]
    ids = {"train": _ids(train, index, grow=True)}
    ids |= {s: _ids(parts[s], index, grow=False) for s in ("valid", "test")}
    order = _by_frequency(ids["train"], len(index))
    words, place = tuple(index), order.argsort()
    train, valid, test = (place[ids[s]] for s in ("train", "valid", "test"))
    by_frequency = tuple(words[k] for k in order.tolist())
    return Corpus(name, train, valid, test, words=by_frequency, source=source)


def _by_frequency(train: Int64[Tensor, " N"], words: int) -> Int64[Tensor, " V"]:
    """The ids so that the most frequent word comes first, as `Adaptive` needs it."""
    return train.bincount(minlength=words).argsort(descending=True, stable=True)


def _frequent(lines: Lines, least: int) -> list[list[str]]:
    """The lines with ``<unk>`` for each word that they have less than ``least`` times.

    Raises:
        ValueError: if no word is left.
    """
    lines = list(lines)
    counts = Counter(word for words in lines for word in words)
    most = max(counts.values())
    if most < least:
        raise ValueError(f"least is {least}; allowed: at most {most}, as in train")
    return [[w if counts[w] >= least else UNK for w in words] for words in lines]


def _ids(lines: Lines, index: dict[str, int], grow: bool) -> Int64[Tensor, " N"]:
    """Ids of all lines; new words enter ``index`` if it may grow.

    Eight bytes per word, so that WikiText-103 takes less than a gigabyte.
    """
    ids = array("q")
    for words in lines:
        if grow:
            ids.extend([index.setdefault(word, len(index)) for word in words])
        else:
            ids.extend([index.get(word, index[UNK]) for word in words])
        ids.append(index[EOS])
    return torch.frombuffer(ids, dtype=torch.int64)
