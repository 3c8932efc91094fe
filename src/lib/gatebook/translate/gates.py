"""The decoder's gates, word by word, as it reads given translations."""

import contextlib

import torch
from torch import Tensor

from gatebook.modes import evaluating
from gatebook.rnn.record import record
from gatebook.translate.base import TranslationModel
from gatebook.translate.batches import Batch

Gates = dict[str, dict[str, Tensor]]
"""By layer of the decoder, then by the gate's name, each (T, B, H)."""


def read_gates(model: TranslationModel, batch: Batch) -> Gates:
    """The gates of every layer of the decoder on the batch's targets.

    Step t has read the word before ``batch.target[t]``, the first step a zero vector,
    and predicts ``batch.target[t]``. Steps outside ``batch.real`` are padding.

    Arguments:
        model: in the mode in which its gates are wanted; noise acts in training.
        batch: on the model's device.

    Returns:
        ``"decoder.0"`` and so on; ``"effective_forget"``, ``"effective_input"``, …
        In `PaperTranslator` the first two are the transitions A and B.
    """
    with contextlib.ExitStack() as stack, torch.no_grad():
        kept = [stack.enter_context(record(layer)) for layer in model.decoder]
        model(batch)
        return {
            f"decoder.{k}": {
                n: v for n, v in gates["l0"].items() if isinstance(v, Tensor)
            }
            for k, gates in enumerate(kept)
        }


WATCHED = ("effective_forget", "effective_input")
"""The gates that `standing` reports on."""


def standing(model: TranslationModel, batch: Batch) -> dict[str, float]:
    """Where the decoder's gates lie in evaluation mode, over the batch's real steps.

    Arguments:
        model: is put into evaluation mode meanwhile.
        batch: on the model's device.

    Returns:
        for each layer and each of ``WATCHED``: ``"decoder.0 effective_forget mean"``
        and so on, and with ``ends`` in place of ``mean`` the share of values that are
        below 0.1 or at least 0.9.
    """
    found = {}
    with evaluating(model):
        for layer, gates in read_gates(model, batch).items():
            for name in WATCHED:
                values = gates[name][batch.real]
                ends = (values < 0.1) | (values >= 0.9)
                found[f"{layer} {name} mean"] = values.mean().item()
                found[f"{layer} {name} ends"] = ends.float().mean().item()
    return found
