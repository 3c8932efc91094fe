"""What the gates of a translator do, over texts and over words (P1 §4.4)."""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from gatebook import inside
from gatebook.inside import BOUNDARY, CLASSES, FUNCTION, Histogram
from gatebook.modes import evaluating
from gatebook.rnn.record import record
from gatebook.training import History
from gatebook.translate.base import TranslationModel
from gatebook.translate.batches import Batch, in_order
from gatebook.translate.corpus import Corpus, Pairs
from gatebook.translate.gates import Gates, read_gates
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gatebook_book.studies.translation import TranslationPoint

PAIRS = 10_000
"""Training pairs on which gates are counted, as P1 does."""

GATES = {"forget": "effective_forget", "input": "effective_input"}
"""Short names of the two gates that P1 shows."""

BINS = 40
LOW, HIGH = 0.1, 0.9
"""Ends beyond which a gate is called shut or open."""

ALIGNMENTS = ("read", "predicted")
NEIGHBOURS = 20
"""Lines of the test text that are drawn together: verses of a chapter are alike."""

CHOSEN = {
    "boundary": BOUNDARY,
    "function": FUNCTION,
    **{name: (name,) for name in CLASSES},
}
"""Which classes of words each question is about."""

GOOD = 0.7
"""The AUC from which a single unit counts as one that closes at a class."""


@dataclass
class Words:
    """Gates over words of many sentences; first words and final marks are left out.

    Attributes:
        texts: the N words.
        classes: of each, (N,).
        sentence: the number of its sentence, (N,).
        line: where that sentence stands in the text, (N,).
        position: the word's place as a share of its sentence, (N,).
        pieces: how many it has, (N,).
        gates: means over the units by layer, gate and alignment, each (N,).
        units: forget gates by layer and alignment, each (N, H).
    """

    texts: list[str]
    classes: np.ndarray
    sentence: np.ndarray
    line: np.ndarray
    position: np.ndarray
    pieces: np.ndarray
    gates: dict[tuple[str, str, str], np.ndarray]
    units: dict[tuple[str, str], np.ndarray]

    def of(self, name: str) -> np.ndarray:
        """Which words a question of `CHOSEN` is about, (N,)."""
        return np.isin(self.classes, CHOSEN[name])

    @property
    def groups(self) -> np.ndarray:
        """The block of neighbouring lines of each sentence, (sentences,)."""
        first = np.unique(self.sentence, return_index=True)[1]
        return self.line[first] // NEIGHBOURS


def layer_names(model: TranslationModel) -> dict[str, str]:
    """Names of the decoder's layers by those of `read_gates`.

    Two transitions of one layer, as in P1's code, are 1A and 1B.
    """
    depth = len(model.decoder)
    names = [str(k + 1) for k in range(depth)]
    if depth > model.num_layers:
        names = ["1A", "1B", *map(str, range(2, depth))]
    return {f"decoder.{k}": name for k, name in enumerate(names)}


def histograms(
    model: TranslationModel, pairs: Pairs, *, training: bool = False
) -> dict[tuple[str, str], Histogram]:
    """Counts of gate values by layer and gate, over all real steps of some pairs.

    Arguments:
        model: is left in the mode that it was in.
        pairs: target sentences that the decoder reads.
        training: whether noise and dropout act meanwhile.
    """
    names = layer_names(model)
    found = {(n, g): Histogram(BINS) for n in names.values() for g in GATES}
    with evaluating(model):
        model.train(training)
        for batch, gates in _passes(model, pairs):
            for key, name in names.items():
                for short, long in GATES.items():
                    found[name, short].add(gates[key][long][batch.real])
    return found


def unit_forgets(model: TranslationModel, pairs: Pairs) -> dict[str, list[float]]:
    """Each unit's mean forget gate over the real steps, by layer of both sides."""
    sums: dict[str, Tensor] = {}
    steps: Counter[str] = Counter()
    with evaluating(model), contextlib.ExitStack() as stack:
        sides = [
            (f"encoder {k}", stack.enter_context(record(layer)))
            for k, layer in enumerate(model.encoder, 1)
        ]
        for batch, gates in _passes(model, pairs):
            for side, kept in sides:
                for part, values in kept.items():
                    name = side + (", backwards" if part.endswith("reverse") else "")
                    own = _real(values["effective_forget"], batch.real_source)
                    _note(sums, steps, name, own)
            for key, name in layer_names(model).items():
                own = gates[key]["effective_forget"][batch.real]
                _note(sums, steps, f"decoder {name}", own)
    return {name: (total / steps[name]).tolist() for name, total in sums.items()}


def read_words(model: TranslationModel, corpus: Corpus, part: str = "test") -> Words:
    """Gates over the words of a part's target sentences, in evaluation mode."""
    sentences: list[_Sentence] = []
    pairs = corpus.pairs[part]
    with evaluating(model):
        for batch, gates in _passes(model, pairs):
            sentences += _sentences(model, corpus, pairs, batch, gates)
    sentences.sort(key=lambda one: one.row)
    return _together(sentences)


def figure_four(
    model: TranslationModel, corpus: Corpus, rows: Sequence[int], part: str = "test"
) -> list[dict[str, Any]]:
    """Whole sentences with the mean gates at each step, as JSON can hold them.

    Step t of ``"gates"`` has read the word before ``"pieces"``[t].
    """
    pairs = corpus.pairs[part]
    chosen = _some(pairs, rows)
    found: list[dict[str, Any]] = [{} for _ in rows]
    with evaluating(model):
        for batch, gates in _passes(model, chosen):
            for column, row in enumerate(batch.rows):
                steps = int(batch.target_lengths[column])
                found[row] = {
                    **_text(corpus, chosen, row),
                    "gates": {
                        f"{short} {name}": _rounded(
                            gates[key][long][:steps, column].mean(1)
                        )
                        for key, name in layer_names(model).items()
                        for short, long in GATES.items()
                    },
                }
    return found


def measure(
    model: TranslationModel, point: TranslationPoint, history: History
) -> dict[str, Any]:
    """`look_inside` for `train_translations`; a run that diverged has no figures."""
    if history.status != "finished":
        return {"metrics": {}}
    return look_inside(model, point.corpus)


def look_inside(model: TranslationModel, corpus: Corpus) -> dict[str, Any]:
    """All that the page on gates shows of one trained model.

    Arguments:
        model: trained on the corpus.
        corpus: training pairs for the histograms, test pairs for the words.

    Returns:
        ``metrics``, named as in ``book/claims/inside/gates.yaml``; ``histograms``,
        shares of 40 bins by mode, layer and gate; ``units``, mean forget gates;
        ``words``, a row for each question; ``sentences`` as `figure_four`.
    """
    train = corpus.train.first(PAIRS)
    metrics: dict[str, float] = {}
    shares: dict[str, dict[str, list[float]]] = {}
    for mode, training in (("use", False), ("training", True)):
        counted = histograms(model, train, training=training)
        metrics |= _ends(counted, "noisy " if training else "")
        shares[mode] = {f"{g} {n}": _rounded(h.shares) for (n, g), h in counted.items()}
    units = unit_forgets(model, train)
    metrics |= _periods(units)
    words = read_words(model, corpus)
    rows = answers(words)
    metrics |= _of_words(words, rows) | _slopes(words, corpus) | _of_units(words)
    return {
        "metrics": metrics,
        "histograms": shares,
        "units": {name: _rounded(values, 4) for name, values in units.items()},
        "words": rows,
        "sentences": figure_four(model, corpus, _shown(corpus)),
    }


def answers(words: Words) -> list[dict[str, Any]]:
    """Are gates smaller at a class than elsewhere? A row for each way to ask.

    The columns ``auc``, ``low`` and ``high`` are `inside.auc_within` and its interval,
    ``difference`` is in units of the gate, ``scaled`` in standard deviations of the
    sentence, ``smallest`` and ``share`` are those of `inside.lift`.
    """
    rows = []
    for (layer, gate, alignment), values in words.gates.items():
        for name, chosen, kept in _questions(words):
            one = {"layer": layer, "gate": gate, "alignment": alignment, "class": name}
            rows.append(one | _answer(words, values, chosen, kept))
    return rows


def unit_auc(values: np.ndarray, chosen: np.ndarray, sentence: np.ndarray) -> float:
    """The AUC of one unit's gates, mean over the sentences."""
    return _mean(inside.auc_within(values.astype(float), chosen, sentence))


# -- passes ------------------------------------------------------------------------


def _passes(model: TranslationModel, pairs: Pairs) -> Iterator[tuple[Batch, Gates]]:
    device = model.embedding.weight.device
    for batch in in_order(pairs):
        there = batch.to(device)
        yield there, read_gates(model, there)


def _some(pairs: Pairs, rows: Sequence[int]) -> Pairs:
    source, target = ([side[k] for k in rows] for side in pairs[:2])
    return Pairs(source, target, [pairs.lines[k] for k in rows])


def _real(values: Tensor | PackedSequence, real: Tensor) -> Tensor:
    """The steps within sentences, (steps, H)."""
    return values.data if isinstance(values, PackedSequence) else values[real]


def _note(
    sums: dict[str, Tensor], steps: Counter[str], name: str, values: Tensor
) -> None:
    sums[name] = sums.get(name, 0) + values.double().sum(0)
    steps[name] += len(values)


# -- words -------------------------------------------------------------------------


@dataclass
class _Sentence:
    """One sentence's words but the first and the final marks."""

    row: int
    line: int
    texts: list[str]
    classes: list[str]
    position: np.ndarray
    pieces: np.ndarray
    gates: dict[tuple[str, str, str], np.ndarray] = field(default_factory=dict)
    units: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)


def _sentences(
    model: TranslationModel, corpus: Corpus, pairs: Pairs, batch: Batch, gates: Gates
) -> Iterator[_Sentence]:
    for column, row in enumerate(batch.rows):
        ids = pairs.target[row]
        places = corpus.subwords.words(ids)
        texts = [corpus.subwords.decode([ids[k] for k in word]) for word in places]
        classes = inside.word_classes(texts)
        kept = [k for k in range(1, len(texts)) if classes[k] != "final mark"]
        if not kept:
            continue
        one = _Sentence(
            row,
            pairs.lines[row],
            [texts[k] for k in kept],
            [classes[k] for k in kept],
            np.array(kept) / len(texts),
            np.array([len(places[k]) for k in kept]),
        )
        word_of = [k for k, word in enumerate(places) for _ in word]
        for key, name in layer_names(model).items():
            for short, long in GATES.items():
                steps = gates[key][long][: len(word_of) + 1, column]
                for alignment in ALIGNMENTS:
                    values = inside.over_words(steps, word_of, alignment)[kept]
                    means = values.double().mean(1).cpu().numpy()
                    one.gates[name, short, alignment] = means
                    if short == "forget":
                        one.units[name, alignment] = values.cpu().numpy()
        yield one


def _together(sentences: list[_Sentence]) -> Words:
    sizes = [len(one.texts) for one in sentences]
    number = np.arange(len(sentences))
    first = sentences[0]
    return Words(
        [text for one in sentences for text in one.texts],
        np.concatenate([one.classes for one in sentences]),
        np.repeat(number, sizes),
        np.repeat([one.line for one in sentences], sizes),
        np.concatenate([one.position for one in sentences]),
        np.concatenate([one.pieces for one in sentences]),
        {k: np.concatenate([one.gates[k] for one in sentences]) for k in first.gates},
        {k: np.concatenate([one.units[k] for one in sentences]) for k in first.units},
    )


def _text(corpus: Corpus, pairs: Pairs, row: int) -> dict[str, Any]:
    """Source, target and its pieces, the end last; which word each piece is in."""
    ids, subwords = pairs.target[row], corpus.subwords
    places = subwords.words(ids)
    texts = [subwords.decode([ids[k] for k in word]) for word in places]
    return {
        "source": subwords.decode(pairs.source[row]),
        "words": texts,
        "classes": inside.word_classes(texts),
        "pieces": [subwords.decode([k]) for k in ids[:-1]] + ["(end)"],
        "word_of": [k for k, word in enumerate(places) for _ in word],
    }


def _shown(corpus: Corpus, count: int = 4, part: str = "test") -> list[int]:
    """The first sentences of 10 to 16 words with a conjunction and a mark within."""
    found = []
    for row, ids in enumerate(corpus.pairs[part].target):
        texts = corpus.subwords.decode(ids).split()
        classes = set(inside.word_classes(texts))
        if 10 <= len(texts) <= 16 and {"mark", "coordinator"} <= classes:
            found.append(row)
        if len(found) == count:
            break
    return found


# -- figures -----------------------------------------------------------------------


def _ends(counted: dict[tuple[str, str], Histogram], prefix: str) -> dict[str, float]:
    found = {}
    for (layer, gate), h in counted.items():
        found[f"{prefix}ends {gate} {layer}"] = h.outside(LOW, HIGH)
        found[f"{prefix}open {gate} {layer}"] = 1 - h.below(HIGH)
        found[f"{prefix}mean {gate} {layer}"] = h.mean
    return found


def _periods(units: dict[str, list[float]]) -> dict[str, float]:
    """Median over the units of 1 / (1 - mean forget gate), in steps."""
    found = {}
    for name, values in units.items():
        period = float(np.median(1 / (1 - np.minimum(values, 1 - 1e-6))))
        found[f"period {name.removeprefix('decoder ')}"] = period
    return found


def _questions(words: Words) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, words of the class, and words that are looked at."""
    every = np.ones(len(words.texts), bool)
    for name in CHOSEN:
        yield name, words.of(name), every
    clear = np.array([text not in inside.AMBIGUOUS for text in words.texts])
    yield "boundary, no ambiguous words", words.of("boundary"), clear
    yield "boundary, words of one piece", words.of("boundary"), words.pieces == 1


def _answer(
    words: Words, values: np.ndarray, chosen: np.ndarray, kept: np.ndarray
) -> dict[str, Any]:
    values, chosen, sentence = values[kept], chosen[kept], words.sentence[kept]
    auc = inside.auc_within(values, chosen, sentence)
    every = np.bincount(sentence, minlength=len(words.groups))
    ones = np.bincount(sentence, chosen, len(words.groups))
    groups = words.groups[(ones > 0) & (ones < every)]
    low, high = inside.bootstrap(auc, groups)
    smallest, share = inside.lift(values, chosen)
    scaled = inside.difference_within(values, chosen, sentence, scaled=True)
    return {
        "auc": _mean(auc),
        "low": low,
        "high": high,
        "difference": _mean(inside.difference_within(values, chosen, sentence)),
        "scaled": _mean(scaled),
        "smallest": smallest,
        "share": share,
        "sentences": len(auc),
    }


def _of_words(words: Words, rows: list[dict[str, Any]]) -> dict[str, float]:
    found = {f"share {name}": float(words.of(name).mean()) for name in CHOSEN}
    for row in rows:
        if row["gate"] == "forget" and row["class"] in CHOSEN:
            name = f"{row['class']} {row['alignment']} {row['layer']}"
            found[f"auc {name}"] = row["auc"]
            found[f"auc {name} low"] = row["low"]
            found[f"auc {name} high"] = row["high"]
            found[f"smallest {name}"] = row["smallest"]
    for (layer, gate, alignment), values in words.gates.items():
        if gate == "input":
            also = "" if alignment == "read" else f"{alignment} "
            found[f"low words {also}{layer}"] = float((values < 0.5).mean())
    return found


def _slopes(words: Words, corpus: Corpus) -> dict[str, float]:
    """How much smaller gates are at boundaries, other causes held fixed."""
    lines = corpus.lines("train").target
    counts = Counter(word for line in lines for word in line.split())
    frequency = np.log([1.0 + counts[text] for text in words.texts])
    causes = {
        "boundary": words.of("boundary").astype(float),
        "log frequency": frequency,
        "position": words.position,
        "continued": (words.pieces > 1).astype(float),
    }
    varied = {k: v for k, v in causes.items() if k == "boundary" or np.ptp(v) > 0}
    found = {}
    for (layer, gate, alignment), values in words.gates.items():
        if gate == "forget":
            effect = inside.regression_within(values, varied, words.sentence)
            name = f"boundary {alignment} {layer}"
            found[f"slope {name}"] = -effect["boundary"].value
            found[f"t {name}"] = -effect["boundary"].t
    return found


def _of_units(words: Words) -> dict[str, float]:
    """Units that close at boundaries; the best one is chosen on half the sentences."""
    chosen, even = words.of("boundary"), words.sentence % 2 == 0
    found = {}
    for (layer, alignment), units in words.units.items():
        auc = [unit_auc(unit, chosen, words.sentence) for unit in units.T]
        half = [unit_auc(u[even], chosen[even], words.sentence[even]) for u in units.T]
        best = units[:, int(np.argmax(half))]
        name = f"boundary {alignment} {layer}"
        found[f"good units {name}"] = float(np.mean(np.array(auc) > GOOD))
        found[f"best unit {name}"] = unit_auc(
            best[~even], chosen[~even], words.sentence[~even]
        )
    return found


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _rounded(values: Sequence[float] | Tensor, digits: int = 5) -> list[float]:
    given = values.tolist() if isinstance(values, Tensor) else values
    return [round(v, digits) for v in given]
