"""The gate recorder: what the gates of a model do while it runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from gatebook.errors import check_choice
from gatebook.modes import evaluating
from gatebook.rnn.stack import Record


@contextmanager
def record(model: nn.Module) -> Iterator[Record]:
    """Record the gate activations of every recurrent layer inside ``model``.

    The tensors are detached, time first, and those of the last forward pass in
    the block. A reverse direction's time runs backwards, as it was computed.

    A ``PackedSequence`` gives packed gates: ``.data``, of shape (steps of all
    sequences, units), holds only the real steps, so its mean excludes
    padding; `torch.nn.utils.rnn.pad_packed_sequence` gives (T, B, units). Where a
    batch is padded but not packed, the padding is input like any other, and is
    recorded.

    A core with a memory has one layer, ``"l0"``. An `RMC`'s gates are (T, B, N, D), and
    ``"attention"`` holds the weights by which slots read rows, the input's row last:
    (T, B, blocks, heads, N, N + 1). A `DNC` has a second layer, ``"memory"``, with
    the addresses (allocation, usage, links, the weights by which it wrote and read),
    what the controller asked, the memory after the step, and the gate that overwrites.

    A cell of `gatebook.modern` has one layer, too, with its effective forget gates: one
    for each unit, (T, B, H), or as many as its state has factors.

    Arguments:
        model: an `LSTM`, a `GRU`, an `RMC`, a `DNC` or a cell of `gatebook.modern`, or
            a module that holds one.

    Raises:
        ValueError: if ``model`` holds no such layer, or more than one.

    Example:
        >>> import torch
        >>> from gatebook import LSTM
        >>> rnn = LSTM(2, 4, gate="UR")
        >>> with record(rnn) as gates:
        ...     _ = rnn(torch.zeros(3, 1, 2))
        >>> gates["l0"]["effective_forget"].shape
        torch.Size([3, 1, 4])
        >>> sequences = [torch.ones(3, 2), torch.ones(1, 2)]
        >>> with record(rnn) as gates:
        ...     _ = rnn(torch.nn.utils.rnn.pack_sequence(sequences))
        >>> gates["l0"]["effective_forget"].data.shape
        torch.Size([4, 4])
    """
    found = list(dict.fromkeys(_recorded(model)))
    if len(found) != 1:
        raise ValueError(
            f"model holds {len(found)} recurrent modules of gatebook; allowed: one"
        )
    gates: Record = {}
    outer = found[0].recorder  # restored when this block ends: blocks may be nested
    found[0].recorder = gates
    try:
        yield gates
    finally:
        found[0].recorder = outer


def _recorded(model: Any) -> Iterator[Any]:
    """The outermost modules that have a recorder, one within another left out."""
    if hasattr(model, "recorder"):
        yield model
        return
    for part in model.children():
        yield from _recorded(part)


def unit_means(
    model: nn.Module,
    x: Tensor | PackedSequence,
    gate: str = "effective_forget",
    layer: str = "l0",
    steps: Bool[Tensor, "T B"] | None = None,
) -> list[float]:
    """Each unit's mean activation over time and batch, as in P2 Figure 4 (D.1).

    Of packed sequences every step counts once, and padding does not.

    Arguments:
        model: holds one `LSTM` or `GRU`; each of its modules is left in the mode
            that it was in, after an error too.
        x: a batch, (T, B, features), or packed sequences.
        gate: the gate's name in the record.
        layer: the layer's name in the record.
        steps: which steps of a padded batch count; all of them by default.

    Returns:
        H values in [0, 1].
    """
    with record(model) as gates, evaluating(model):
        model(x)
    check_choice("layer", layer, gates)
    check_choice("gate", gate, gates[layer])
    values = gates[layer][gate].data  # (T, B, H), or (steps, H) if packed
    if steps is not None:
        values = values[steps]
    return values.flatten(0, -2).mean(0).tolist()
