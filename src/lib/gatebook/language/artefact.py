"""A trained language model to publish: one checked file and a card that explains it.

The folder holds ``model.safetensors`` (weights; in the header, as JSON, what the model
is built with and its words; a SHA-256 sum of it all) and ``README.md``, the card.
"""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from torch import Tensor

from gatebook.card import figures, gate_words, table
from gatebook.checked import read_checked, write_checked
from gatebook.compress.describe import describe, gate
from gatebook.compress.file import distinct
from gatebook.compress.places import recurrent
from gatebook.files import FileError, to_json, write_atomic
from gatebook.language.corpus import Corpus
from gatebook.language.head import Adaptive
from gatebook.language.model import Dropouts, LanguageModel
from gatebook.language.reading import check_vocabulary
from gatebook.rnn.names import name_gates

FORMAT = "gatebook.language 1"
MODEL, CARD = "model.safetensors", "README.md"


def release(
    folder: Path | str,
    model: LanguageModel,
    corpus: Corpus,
    facts: Mapping[str, object],
) -> int:
    """Write a model and its card; returns the bytes of the model's file.

    Arguments:
        folder: is made; files of an earlier release in it are replaced.
        model: in either mode; on any device.
        corpus: on which it was trained; its words go into the file, its source into
            the card.
        facts: what the card says of the model, in this order, such as
            ``{"test perplexity": 98.2, "epochs": 20}``.

    Raises:
        ValueError: for a corpus of another vocabulary.
        OSError: if it cannot be written.
    """
    check_vocabulary(model, corpus)
    folder = Path(folder)
    header = {
        "format": FORMAT,
        "arguments": to_json(_arguments(model)),
        "words": json.dumps(corpus.words),
    }
    tensors = distinct(model.state_dict(keep_vars=True))
    size = write_checked(folder / MODEL, tensors, header)
    write_atomic(folder / CARD, _card(model, corpus, facts, size).encode())
    return size


def read(
    folder: Path | str, corpus: Corpus | None = None
) -> tuple[LanguageModel, tuple[str, ...]]:
    """A released model on the CPU, in evaluation mode, and its words by id.

    Arguments:
        folder: where `release` has written.
        corpus: one that the model is to read; its words are compared.

    Raises:
        FileError: if the file is missing, cut short, altered or something else.
        ValueError: if the corpus has other words, or the same in another order.
    """
    path = Path(folder) / MODEL
    header, tensors = read_checked(path, FORMAT)
    try:
        arguments, words = json.loads(header["arguments"]), json.loads(header["words"])
        model = _build(arguments)
        _check_count(words, model)
        model.to(tensors["embedding.weight"].dtype)
        state = _whole(tensors, arguments["tied"])
        model.load_state_dict(name_gates(state, model))  # the arguments name the gate
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise FileError(f"{path} does not fit this library: {error}") from error
    if corpus is not None:
        _check_words(path, words, corpus)
    return model.eval(), tuple(words)


def _check_count(words: Sequence[str], model: LanguageModel) -> None:
    if len(words) != model.vocabulary_size:
        raise ValueError(f"{len(words)} words for a model of {model.vocabulary_size}")


def _check_words(path: Path, words: Sequence[str], corpus: Corpus) -> None:
    if tuple(words) == corpus.words:
        return
    pairs = enumerate(itertools.zip_longest(words, corpus.words))
    k, (own, other) = next((k, pair) for k, pair in pairs if pair[0] != pair[1])
    raise ValueError(
        f"corpus is {corpus.name!r} with {corpus.vocabulary_size} words, word {k} "
        f"being {other!r}; allowed: the {len(words)} words of {path}, word {k} being "
        f"{own!r}"
    )


def _arguments(model: LanguageModel) -> dict[str, Any]:
    """What `_build` needs, as JSON values."""
    first, *_ = map(describe, recurrent(model).values())
    head = model.head
    return {
        "vocabulary_size": model.vocabulary_size,
        "width": model.embedding.embedding_dim,
        "hidden_size": model.hidden_sizes[0],
        "num_layers": len(model.layers),
        "gate": first["gate"],
        "dropouts": asdict(model.dropouts),
        "weight_drop": first["arguments"]["weight_drop"],
        "single_bias": first["arguments"].get("single_bias", False),
        "tied": not isinstance(head, Adaptive)
        and head.weight is model.embedding.weight,
        "cutoffs": head.cutoffs[:-1] if isinstance(head, Adaptive) else [],
    }


def _build(arguments: dict[str, Any]) -> LanguageModel:
    own = {
        "gate": gate(arguments["gate"]),
        "dropouts": Dropouts(**arguments["dropouts"]),
    }
    return LanguageModel(**arguments | own)


def _whole(tensors: dict[str, Tensor], tied: bool) -> dict[str, Tensor]:
    """The model's state; a shared tensor is in the file once."""
    shared = {"head.weight": tensors["embedding.weight"]} if tied else {}
    return tensors | shared


CARD_TEXT = """\
# {title}

A language model: it reads words and gives the probabilities of the next one.
Trained and written by gatebook, a book and library on the gates of LSTMs.

## What it is

{model}

Dropouts act in training only. `model.safetensors` has {size:,} bytes. It holds the
weights, what the model is built with, and its words; a SHA-256 sum guards it all.
No pickle is in it.

## What it was trained on

{source}

Licence: {licence}.

## Figures

{facts}

## How to read it

```python
from gatebook.language.artefact import read

model, words = read("{folder}")
```

`read(folder, corpus)` makes sure that a corpus has the same words under the same
ids. `gatebook.language.generate` writes text, `gatebook.language.perplexity` and
`gatebook.language.cache` judge it.

## Limits

- It knows {words:,} words. All others are `<unk>` to it.
- It repeats what its text says, and how. It knows no facts.
- The figures hold for the test text named above, with all its tokens counted and the
  state carried on. Other texts are harder.
"""


def _card(
    model: LanguageModel, corpus: Corpus, facts: Mapping[str, object], size: int
) -> str:
    return CARD_TEXT.format(
        title=f"A language model on {corpus.title}",
        model=table(_sizes(model), "part"),
        size=size,
        source=corpus.source,
        licence=corpus.licence,
        facts=figures(facts),
        folder="the/folder/of/this/file",
        words=corpus.vocabulary_size,
    )


def _sizes(model: LanguageModel) -> dict[str, object]:
    count = sum(p.numel() for p in model.parameters())
    layers = model.hidden_sizes
    arguments = _arguments(model)
    return {
        "parameters": f"{count:,}",
        "words": f"{model.vocabulary_size:,}",
        "width of the embedding": arguments["width"],
        "units of the LSTM layers": ", ".join(map(str, layers)),
        "gate": gate_words(arguments["gate"]),
        "embedding and output share weights": "yes" if arguments["tied"] else "no",
        "weight drop": arguments["weight_drop"],
    }
