"""Joint byte pair encoding: one table of pieces for both languages.

Frequent words stay whole and rare ones fall into pieces (Sennrich et al. 2016), so
that nothing is unknown. Both languages share the pieces: names and numbers look the
same on either side, and one table of embeddings can serve source, target and output.
"""

import hashlib
import itertools
import json
from collections.abc import Iterable, Sequence
from typing import Any

from gatebook.errors import check_count, check_lines

EOS, UNKNOWN = 0, 1
"""Ids of the end of a sentence, which also fills up batches, and of the unknown."""

_SPECIAL = ("<eos>", "<unk>")
_END = "\N{LOWER ONE EIGHTH BLOCK}"
"""Ends every word, as a letter of its own.

The package's own suffix makes a second letter of each, numbered in an order that
differs from process to process, and ties between pairs go by these numbers.
"""


class Subwords:
    """Pieces of words, by id.

    Arguments:
        text: what `json` gave.

    Raises:
        ImportError: without the package tokenizers.
        ValueError: for a text that is not such a table.
    """

    def __init__(self, text: str):
        try:
            self._tokenizer = _tokenizers().Tokenizer.from_str(_unspelt(text))
        except ImportError:
            raise
        except Exception as error:  # the package raises nothing more specific
            raise ValueError(f"no table of pieces: {error}") from error
        self._tokenizer.encode_special_tokens = True  # as text, whatever it says
        self.json = json.dumps(json.loads(text), ensure_ascii=False, sort_keys=True)
        vocabulary = self._tokenizer.get_vocab()
        self.tokens = tuple(sorted(vocabulary, key=vocabulary.__getitem__))
        self.ends = tuple(t.endswith(_END) for t in self.tokens)
        self.sum = hashlib.sha256(self.json.encode()).hexdigest()

    @classmethod
    def learn(cls, lines: Iterable[str], merges: int) -> "Subwords":
        """The pieces that ``merges`` merges of the most frequent pairs make.

        Arguments:
            lines: of both languages; words are separated by blanks.
            merges: how many; single letters come on top.

        Raises:
            ImportError: without the package tokenizers.
            ValueError: for less than one merge.
            TypeError: for one string in place of lines.
        """
        check_count("merges", merges)
        check_lines("lines", lines)
        package = _tokenizers()
        lines = [_marked(line) for line in lines]
        letters = {letter for line in lines for letter in line if letter != " "}
        tokenizer = package.Tokenizer(package.models.BPE(unk_token="<unk>"))
        tokenizer.pre_tokenizer = package.pre_tokenizers.WhitespaceSplit()
        trainer = package.trainers.BpeTrainer(
            vocab_size=len(_SPECIAL) + len(letters) + merges,
            special_tokens=list(_SPECIAL),
            show_progress=False,
        )
        tokenizer.train_from_iterator(lines, trainer)
        return cls(tokenizer.to_str())

    @property
    def size(self) -> int:
        """V, all pieces."""
        return len(self.tokens)

    def encode(self, line: str) -> list[int]:
        """The ids of a line's pieces, without eos; ``UNKNOWN`` for a new letter."""
        return self._tokenizer.encode(_marked(line), add_special_tokens=False).ids

    def decode(self, ids: Iterable[int]) -> str:
        """The line of which these are the pieces; what follows an end is left out."""
        pieces = itertools.takewhile(lambda k: k != EOS, ids)
        text = "".join(self.tokens[k] for k in pieces)
        return text.replace(_END, " ").strip()

    def words(self, ids: Sequence[int]) -> list[list[int]]:
        """Which places of ``ids`` make up each word; an eos is not a word.

        Example: for the pieces ``["the▁", "ha", "y▁"]`` and an end it is
        ``[[0], [1, 2]]``.
        """
        found: list[list[int]] = [[]]
        for place, k in enumerate(ids):
            if k == EOS:
                break
            found[-1].append(place)
            if self.ends[k]:
                found.append([])
        return [word for word in found if word]


def _unspelt(text: str) -> str:
    """The table without merges that spell a special piece, so that no text becomes one.

    Lines that hold "<eos>" within words teach such a merge; pieces beyond it stay
    without use.
    """
    table = json.loads(text)
    merges = table["model"]["merges"]
    kept = [pair for pair in merges if "".join(pair) not in _SPECIAL]
    table["model"]["merges"] = kept
    return json.dumps(table)


def _marked(line: str) -> str:
    return "".join(f"{word}{_END} " for word in line.replace(_END, "_").split())


def _tokenizers() -> Any:
    try:
        import tokenizers
        import tokenizers.models
        import tokenizers.pre_tokenizers
        import tokenizers.trainers
    except ImportError as error:
        raise ImportError(
            "gatebook.translate needs the package tokenizers; allowed: pip install "
            "'gatebook[translate]'"
        ) from error
    return tokenizers
