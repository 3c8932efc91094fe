"""Make the sentences that the widget on gates over words shows.

    .venv/bin/python tools/sentences.py

It reads the trained translators of the page ``inside/gates`` at the profile laptop,
seed 0, and writes ``sentences.json`` beside the widget. A model that is not there is
trained first, which takes minutes.
"""

import json
from typing import Any

import numpy as np
from gatebook.files import write_atomic
from gatebook.modes import evaluating
from gatebook.translate.base import TranslationModel
from gatebook.translate.batches import batch_of
from gatebook.translate.corpus import Corpus
from gatebook.translate.gates import read_gates
from gatebook_book.data.bitexts import corpus
from gatebook_book.pages.pages import find
from gatebook_book.paths import root
from gatebook_book.runs.store import STORED, Store
from gatebook_book.studies.inside import GATES, Words, figure_four, read_words, unit_auc
from gatebook_book.studies.translation import point, trained
from gatebook_book.widgets.base import FOLDER
from gatebook_book.widgets.gate_words import packed

MODELS = ("LSTM0", "G2")
COUNT, LEAST, MOST = 24, 8, 16
"""How many verses, and of how many words."""

UNITS = 32


def main() -> None:
    """Write the file, and say how large it is."""
    verses, models = _models()
    chosen = _chosen(verses)
    units = {name: _sorted_units(model, verses) for name, model in models.items()}
    whole = figure_four(models["G2"], verses, chosen)
    keys = ("source", "words", "classes", "word_of")
    sentences = []
    for row, one in zip(chosen, whole, strict=True):
        gates = {n: _gates(m, verses, row, units[n]) for n, m in models.items()}
        sentences.append({k: one[k] for k in keys} | {"gates": gates})
    longest = max(len(one["words"]) for one in sentences)
    found = {"units": UNITS, "longest": longest, "sentences": sentences}
    text = json.dumps(found, ensure_ascii=False, separators=(",", ":"))
    write_atomic(FOLDER / "sentences.json", f"{text}\n".encode())
    print(f"{len(sentences)} verses, {len(text):,} characters")


def _models() -> tuple[Corpus, dict[str, TranslationModel]]:
    page = find("inside/gates")
    given = {name: one.default for name, one in page.parameters().items()}
    given |= page.effective("laptop", {})
    verses = corpus("elberfelder-asv", merges=given["merges"], words=given["words"])
    names = ("updates", "tokens", "learning_rate", "hidden_size", "num_layers")
    plan = {name: given[name] for name in (*names, "dropout")}
    plan["width"] = given["hidden_size"]
    store = Store("inside/gates", "laptop", root() / STORED)
    points = {name: point(name, 0, verses, **plan) for name in MODELS}
    return verses, {name: trained(store, one)[0] for name, one in points.items()}


def _chosen(verses: Corpus) -> list[int]:
    """Verses of a middling length, spread over the test books."""
    lengths = [len(line.split()) for line in verses.lines("test").target]
    fits = [k for k, length in enumerate(lengths) if LEAST <= length <= MOST]
    return [fits[k] for k in np.linspace(0, len(fits) - 1, COUNT).astype(int)]


def _sorted_units(
    model: TranslationModel, verses: Corpus
) -> dict[tuple[str, str], list[int]]:
    """Some units of each layer, sorted by the AUC of their forget gates when read."""
    words: Words = read_words(model, verses)
    found = {}
    for layer in ("1", "2"):
        units = words.units[layer, "read"]
        chosen = words.of("boundary")
        auc = [unit_auc(unit, chosen, words.sentence) for unit in units.T]
        order = np.argsort(auc)[::-1]
        places = np.linspace(0, len(order) - 1, UNITS).astype(int)
        found["forget", layer] = found["input", layer] = order[places].tolist()
    return found


def _gates(
    model: TranslationModel,
    verses: Corpus,
    row: int,
    units: dict[tuple[str, str], list[int]],
) -> dict[str, Any]:
    """Means and single units at each step, by gate and layer."""
    with evaluating(model):
        gates = read_gates(model, batch_of(verses.test, [row]))
    found = {}
    for (gate, layer), chosen in units.items():
        values = gates[f"decoder.{int(layer) - 1}"][GATES[gate]][:, 0]
        found[f"{gate} {layer}"] = {
            "mean": packed(values.mean(1).tolist()),
            "units": "".join(packed(values[:, k].tolist()) for k in chosen),
        }
    return found


if __name__ == "__main__":
    main()
