"""A trained translation model to publish: one checked file, a card, a method.

The folder holds ``model.safetensors`` (weights; in the header, as JSON, what the model
is built with, its pieces, and how it cuts lines; a SHA-256 sum of it all) and
``README.md``, the card.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor

from gatebook.card import figures, gate_words, table
from gatebook.checked import read_checked, write_checked
from gatebook.compress.describe import describe, gate
from gatebook.compress.file import distinct
from gatebook.files import FileError, to_json, write_atomic
from gatebook.rnn.names import name_gates
from gatebook.translate.base import TranslationModel
from gatebook.translate.corpus import Corpus
from gatebook.translate.model import Translator
from gatebook.translate.paper import PaperTranslator
from gatebook.translate.search import translate
from gatebook.translate.subwords import EOS, Subwords
from gatebook.translate.train import check_vocabulary
from gatebook.translate.words import CUTS, joined

FORMAT = "gatebook.translate 1"
MODEL, CARD = "model.safetensors", "README.md"

VARIANTS: dict[str, Callable[..., TranslationModel]] = {
    "between": Translator,
    "paper": PaperTranslator,
}
_SIZES = ("vocabulary_size", "width", "hidden_size", "num_layers", "dropout", "tied")


class Translated(NamedTuple):
    """What became of some lines.

    Attributes:
        lines: for people to read; empty where there was nothing to translate.
        long: how many lines had more pieces than any line the model was trained on.
            They are translated all the same, often badly.
        unknown: pieces that the model does not know.
    """

    lines: list[str]
    long: int
    unknown: int


class Released(NamedTuple):
    """A model with all that it takes to translate a text."""

    model: TranslationModel
    subwords: Subwords
    cuts: tuple[str, str]
    longest: int

    def translate(
        self, lines: Sequence[str], *, beam: int = 5, alpha: float = 1.0
    ) -> Translated:
        """Translate lines of plain text.

        Arguments:
            lines: a sentence each; an empty one stays empty.
            beam: hypotheses of a sentence that are followed.
            alpha: α of the length normalisation, see `search`.

        Raises:
            ValueError: for a beam below 1, a negative α, or a model whose
                probabilities are NaN.
        """
        cut = CUTS[self.cuts[0]]
        sources = [self.subwords.encode(" ".join(cut(line))) for line in lines]
        full = [k for k, source in enumerate(sources) if source]
        ended = [sources[k] + [EOS] for k in full]
        found = translate(self.model, ended, beam=beam, alpha=alpha)
        said = [""] * len(lines)
        for k, ids in zip(full, found, strict=True):
            said[k] = joined(self.subwords.decode(ids))
        long = sum(len(source) > self.longest for source in sources)
        unknown = sum(source.count(1) for source in sources)
        return Translated(said, long, unknown)


def release(
    folder: Path | str,
    model: TranslationModel,
    corpus: Corpus,
    facts: Mapping[str, object],
) -> int:
    """Write a model and its card; returns the bytes of the model's file.

    Arguments:
        folder: is made; files of an earlier release in it are replaced.
        model: in either mode; on any device.
        corpus: on which it was trained.
        facts: what the card says of the model, in this order, such as
            ``{"BLEU, test": 28.3, "updates": 2000}``.

    Raises:
        ValueError: for a corpus of another vocabulary.
        OSError: if it cannot be written.
    """
    check_vocabulary(model, corpus)
    folder = Path(folder)
    header = {
        "format": FORMAT,
        "arguments": to_json(_arguments(model)),
        "subwords": corpus.subwords.json,
        "text": json.dumps({"cuts": corpus.bitext.cuts, "longest": corpus.longest}),
    }
    tensors = distinct(model.state_dict(keep_vars=True))
    size = write_checked(folder / MODEL, tensors, header)
    write_atomic(folder / CARD, _card(model, corpus, facts, size).encode())
    return size


def read(folder: Path | str, corpus: Corpus | None = None) -> Released:
    """A released model on the CPU, in evaluation mode, ready to translate.

    Arguments:
        folder: where `release` has written.
        corpus: one that the model is to read; its pieces are compared.

    Raises:
        FileError: if the file is missing, cut short, altered or something else.
        ValueError: if the corpus has other pieces.
    """
    path = Path(folder) / MODEL
    header, tensors = read_checked(path, FORMAT)
    try:
        arguments = json.loads(header["arguments"])
        text, subwords = json.loads(header["text"]), Subwords(header["subwords"])
        model = _build(arguments)
        state = _whole(tensors, model.tied)
        model.to(state["head.weight"].dtype)
        model.load_state_dict(name_gates(state, model))  # the arguments name the gate
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileError(f"{path} does not fit this library: {error}") from error
    if corpus is not None and corpus.subwords.sum != subwords.sum:
        raise ValueError(
            f"corpus is {corpus.name!r}, whose pieces have the sum "
            f"{corpus.subwords.sum[:16]}; allowed: the pieces of {path}, "
            f"{subwords.sum[:16]}"
        )
    cuts: Any = tuple(text["cuts"])
    return Released(model.eval(), subwords, cuts, text["longest"])


def _arguments(model: TranslationModel) -> dict[str, Any]:
    """What `_build` needs, as JSON values."""
    variant = "between" if isinstance(model, Translator) else "paper"
    own = {name: getattr(model, name) for name in _SIZES}
    if isinstance(model, Translator):
        own |= {"query": model.query is not None, "residual": model.residual}
        own["bridge"] = model.bridge is not None
    first: Any = model.decoder[0]
    return {"variant": variant, "gate": describe(first)["gate"], **own}


def _build(arguments: dict[str, Any]) -> TranslationModel:
    more = {k: v for k, v in arguments.items() if k not in ("variant", "gate")}
    return VARIANTS[arguments["variant"]](gate=gate(arguments["gate"]), **more)


def _whole(tensors: dict[str, Tensor], tied: bool) -> dict[str, Tensor]:
    """The model's state; a shared tensor is in the file once."""
    if not tied:
        return tensors
    table = next(tensors[name] for name in _TABLES if name in tensors)
    return tensors | dict.fromkeys(_TABLES, table)


_TABLES = ("embedding.weight", "source_embedding.weight", "head.weight")

CARD_TEXT = """\
# {title}

A translation model: an encoder and a decoder of LSTMs with attention between them.
Trained and written by gatebook, a book and library on the gates of LSTMs.

## What it is

{model}

Dropout acts in training only. `model.safetensors` has {size:,} bytes. It holds the
weights, what the model is built with, its pieces of words, and how it cuts lines; a
SHA-256 sum guards it all. No pickle is in it.

## What it was trained on

{source}{pairs:,} pairs; left out: {skipped}.

Licence: {licence}.

## Figures

{facts}

## How to use it

```python
from gatebook.translate.artefact import read

model = read("the/folder/of/this/file")
print(model.translate(["A line of text."]).lines)
```

or `gatebook translate FILE --model the/folder/of/this/file`.

## Limits

- It was trained on sentences of up to {longest} pieces. Longer ones often go wrong.
- It knows the kind of text that it was trained on, and no other.
- It writes fluent lines that say something else than the source. Read both.
"""


def _card(
    model: TranslationModel, corpus: Corpus, facts: Mapping[str, object], size: int
) -> str:
    origin = corpus.bitext.origin.rstrip(".")
    skipped = "; ".join(f"{count} ({why})" for why, count in corpus.skipped.items())
    return CARD_TEXT.format(
        title=f"A translation model on {corpus.bitext.title or corpus.name}",
        model=table(_rows(model), "part"),
        size=size,
        source=f"{origin}. " if origin else "",
        pairs=len(corpus.train.source),
        skipped=skipped or "none",
        licence=corpus.bitext.licence,
        facts=figures(facts),
        longest=corpus.longest,
    )


def _rows(model: TranslationModel) -> dict[str, object]:
    arguments = _arguments(model)
    words = gate_words(arguments.pop("gate"))
    count = sum(p.numel() for p in model.parameters())
    named = {k.replace("_", " "): v for k, v in arguments.items()}
    return {"parameters": f"{count:,}", **named, "gate": words}
