"""Gates over the words of sentences, from two trained translators."""

import functools
import json
from typing import Any

from gatebook.files import read_text

from gatebook_book.widgets.base import FOLDER, Slider, Widget, module, sheet

LEVELS = 64
"""Values of a gate that the stored sentences tell apart."""

DIGITS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"


@functools.cache
def stored_sentences() -> dict[str, Any]:
    """The sentences and their gates; made by ``tools/sentences.py``."""
    return json.loads(read_text(FOLDER / "sentences.json"))


def packed(values: list[float]) -> str:
    """Gates as text, one letter a value.

    Example:
        >>> packed([0.0, 0.5, 1.0])
        'Ag/'
    """
    return "".join(DIGITS[round((LEVELS - 1) * value)] for value in values)


def _script() -> str:
    """The widget's module, with the sentences in it: it asks for no second file."""
    return f"const STORED = {json.dumps(stored_sentences())};\n{module('gate_words')}"


class GateWords(Widget):
    """What two trained translators' gates do at the words of a verse (P1 Figure 4).

    One row a word, with a bar for each model: the mean over the units, or one unit.
    The units are sorted by how surely they are small at boundaries of clauses, the
    surest first; marks and conjunctions are set off. A step of the decoder reads one
    word and predicts the next; either of them can stand at its gate.

    Arguments:
        sentence: which verse, from 1.
        layer: of the decoder, 1 or 2.
        gate: 1 is the forget gate and 2 the input gate.
        word: 1 is the word that the step has read, 2 the word that it predicts.
        unit: 0 is the mean over all units, and 1 the unit that comes first.
        order: 1 as in the verse, 2 the smallest gate of the second model first.

    Raises:
        ValueError: for a value outside its range, here or when it is set later.

    Example:
        >>> GateWords(sentence=2)
        GateWords(sentence=2, layer=1, gate=1, word=1, unit=0, order=1)
    """

    _esm = _script()
    _css = sheet()

    sentence = Slider(1, len(stored_sentences()["sentences"]), whole=True)
    layer = Slider(1, 2, whole=True)
    gate = Slider(1, 2, whole=True)
    word = Slider(1, 2, whole=True)
    unit = Slider(0, stored_sentences()["units"], whole=True)
    order = Slider(1, 2, whole=True)

    def __init__(
        self,
        *,
        sentence: int = 1,
        layer: int = 1,
        gate: int = 1,
        word: int = 1,
        unit: int = 0,
        order: int = 1,
    ):
        values = {"sentence": sentence, "layer": layer, "gate": gate, "word": word}
        super().__init__(**values, unit=unit, order=order)
