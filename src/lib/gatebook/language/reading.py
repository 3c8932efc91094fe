"""How a model reads a text: window by window, the state carried on."""

from collections.abc import Iterator, Sequence

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from gatebook.errors import check_between, check_integer
from gatebook.language.corpus import Corpus
from gatebook.language.model import LanguageModel, detached

WINDOW = 256
"""Steps that are run at once; no figure depends on it."""

Window = tuple[Float[Tensor, "T B W"], Int[Tensor, "T B"]]
"""Outputs of the last layer, and the words to be predicted from them."""


def windows(
    model: LanguageModel,
    before: Int[Tensor, "T B"],
    target: Int[Tensor, "T B"],
    begins: Bool[Tensor, "T B"] | None = None,
) -> Iterator[Window]:
    """Let a model read texts side by side, each from a zero state.

    Arguments:
        model: in evaluation mode.
        before: the words read; -1 where a text has ended.
        target: the word after each; -1 where a text has ended.
        begins: steps before which the state is cleared, as for the model.

    Yields:
        outputs and targets of up to `WINDOW` steps, on the model's device.
    """
    device = model.embedding.weight.device
    state = model.start(before.shape[1])
    for start in range(0, len(before), WINDOW):
        cut = slice(start, start + WINDOW)
        b = None if begins is None else begins[cut].to(device)
        raw, _, state = model(before[cut].to(device).clamp(min=0), state, b)
        state = detached(state)
        yield raw, target[cut].to(device)


def shifted(ids: Int[Tensor, " N"], eos: int) -> Int[Tensor, " N"]:
    """The word before each word; before the first, the end of a line."""
    return torch.cat([ids.new_tensor([eos]), ids[:-1]])


def side_by_side(parts: Sequence[Tensor]) -> Int[Tensor, "T B"]:
    """Parts as columns; shorter ones are filled up with -1."""
    whole = [part.to(torch.int64) for part in parts]
    return torch.nn.utils.rnn.pad_sequence(whole, padding_value=-1)


def check_vocabulary(model: LanguageModel, corpus: Corpus) -> None:
    """Raise ``ValueError`` unless the model has as many words as the corpus."""
    if model.vocabulary_size != corpus.vocabulary_size:
        raise ValueError(
            f"corpus is {corpus.name!r} with {corpus.vocabulary_size} words; allowed: "
            f"one with {model.vocabulary_size}, as the model has"
        )


def check_ids(model: LanguageModel, ids: Tensor, eos: int) -> None:
    """Raise ``ValueError`` unless all ``ids``, and ``eos``, are words of the model."""
    count = model.vocabulary_size
    check_integer("eos", eos)
    check_between("eos", eos, 0, count - 1)
    if ids.dim() != 1 or ids.is_floating_point() or ids.dtype == torch.bool:
        raise ValueError(
            f"ids are {ids.dtype} of shape {tuple(ids.shape)}; allowed: a row of "
            "integers"
        )
    least, most = (int(end) for end in ids.aminmax()) if len(ids) else (0, 0)
    if least < 0 or most >= count:
        raise ValueError(
            f"ids has {least if least < 0 else most}; allowed: from 0 to {count - 1}"
        )
