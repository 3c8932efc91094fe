"""Layers one above the other, of one model or of several at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence

from gatebook import fused
from gatebook.random import Streams, dropped
from gatebook.recurrence.cells import Core
from gatebook.recurrence.scan import Pass, Result, Weights, draw
from gatebook.rnn import lengths as ends

Record = dict[str, dict[str, Tensor | PackedSequence]]
"""Layer (``"l0"``, ``"l0_reverse"``, …) to gate name to activations (T, B, units)."""

Outputs = tuple[Float[Tensor, "T B W"], Float[Tensor, "L B H"], Float[Tensor, "L B H"]]
"""The last layer's outputs, and every layer's last h and c."""


def suffixes(num_layers: int, bidirectional: bool) -> tuple[str, ...]:
    """``"l0"``, ``"l0_reverse"``, ``"l1"``, …: one for each layer and direction."""
    ways = ("", "_reverse") if bidirectional else ("",)
    return tuple(f"l{k}{way}" for k in range(num_layers) for way in ways)


@dataclass(frozen=True)
class Spec:
    """What decides, besides the weights, what layers compute.

    Arguments as for `gatebook.LSTM`, and ``suffixes`` as the function of this name
    gives them.
    """

    core: Core
    suffixes: tuple[str, ...]
    bidirectional: bool
    dropout: float
    zoneout: tuple[float, float]
    weight_drop: float


@dataclass(frozen=True)
class Layers:
    """The layers of one model, ready for one pass.

    Arguments:
        spec: sizes, gate and options.
        weights: one set for each layer and direction, in the order of `suffixes`.
        streams: what a training pass draws from; ``None`` is evaluation.
        record: gets every layer's gates if it is given.
    """

    spec: Spec
    weights: tuple[Weights, ...]
    streams: Streams | None = None
    record: Record | None = None

    def suffix(self, row: int) -> str:
        """The name of a layer and direction; ``row`` counts both."""
        return self.spec.suffixes[row]


def run(
    models: Sequence[Layers],
    xs: Sequence[Float[Tensor, "T B I"]],
    hs: Sequence[Float[Tensor, "L B H"]],
    cs: Sequence[Float[Tensor, "L B H"]],
    lengths: Tensor | None = None,
) -> list[Outputs]:
    """Run models with equal sizes, each on its own input and from its own state.

    Arguments:
        models: equal in sizes, layers and directions.
        xs: each model's input.
        hs: each model's initial hidden states; L counts layers and directions.
        cs: each model's initial cell states.
        lengths: each sequence's length, where they differ.
    """
    spec = models[0].spec
    ways = 2 if spec.bidirectional else 1
    last: list[list[tuple[Tensor, Tensor]]] = [[] for _ in models]
    for depth in range(len(spec.suffixes) // ways):
        if depth > 0:
            xs = [_drop(m, x) for m, x in zip(models, xs, strict=True)]
        rows = range(depth * ways, depth * ways + ways)
        found = [_row(models, xs, hs, cs, row, lengths) for row in rows]
        each = list(zip(*found, strict=True))  # model by model, its directions
        xs = [_side_by_side([out for out, _, _ in results]) for results in each]
        for states, results in zip(last, each, strict=True):
            states += [(h, c) for _, h, c in results]
    stacked = [[torch.stack(s) for s in zip(*pairs, strict=True)] for pairs in last]
    return [(x, h, c) for x, (h, c) in zip(xs, stacked, strict=True)]


def _row(
    models: Sequence[Layers],
    xs: Sequence[Tensor],
    hs: Sequence[Tensor],
    cs: Sequence[Tensor],
    row: int,
    lengths: Tensor | None,
) -> list[Result]:
    """One layer in one direction of every model, outputs in the input's order."""
    back = models[0].suffix(row).endswith("_reverse")
    if back:
        xs = [ends.flip(x, lengths) for x in xs]
    passes = [
        _pass(m, x, h[row], c[row], row, lengths)
        for m, x, h, c in zip(models, xs, hs, cs, strict=True)
    ]
    results = _scan(models, passes, row)
    if not back:
        return results
    return [(ends.flip(out, lengths), h, c) for out, h, c in results]


def _pass(
    model: Layers, x: Tensor, h: Tensor, c: Tensor, row: int, lengths: Tensor | None
) -> Pass:
    """One layer in one direction, with all that it draws."""
    spec, streams = model.spec, model.streams
    weights = _drop_weights(model, model.weights[row])
    alive = None if lengths is None else ends.alive(x, lengths)
    draws = None
    if streams is not None:
        draws = draw(spec.core, x, spec.zoneout, streams)
    return Pass(spec.core, x, weights, h, c, draws, alive, spec.zoneout)


def _scan(models: Sequence[Layers], passes: Sequence[Pass], row: int) -> list[Result]:
    """Run the passes; those of models whose gates are recorded in the loop."""
    if all(m.record is None for m in models):
        return fused.run_many(passes)
    pairs = zip(models, passes, strict=True)
    return [_loop(m, p, row) for m, p in pairs]


def _loop(model: Layers, given: Pass, row: int) -> Result:
    """Run a pass with the reference loop, and keep its gates if that is asked."""
    log: dict[str, list[Tensor]] = {}
    result = fused.run_logged(given, log)
    if model.record is not None:
        gates = {name: torch.stack(values) for name, values in log.items()}
        model.record[model.suffix(row)] = dict(gates)
    return result


def _side_by_side(outputs: list[Tensor]) -> Float[Tensor, "T B W"]:
    """The outputs of a layer's directions, concatenated."""
    return torch.cat(outputs, -1) if len(outputs) > 1 else outputs[0]


def _drop(model: Layers, x: Float[Tensor, "T B W"]) -> Float[Tensor, "T B W"]:
    """Dropout between two layers, in training."""
    p, streams = model.spec.dropout, model.streams
    if streams is None or p == 0:
        return x
    return dropped(x, p, streams["dropout", x.device])


def _drop_weights(model: Layers, weights: Weights) -> Weights:
    """Weight drop (Merity et al. 2018): one mask for all steps of a pass."""
    p, streams, hh = model.spec.weight_drop, model.streams, weights.hh
    if streams is None or p == 0:
        return weights
    keep = kept(hh, p, streams["weight_drop", hh.device])
    dropped_hh = hh * keep.to(hh.dtype).div_(1 - p)
    return Weights(weights.ih, dropped_hh, weights.bias_ih, weights.bias_hh)


def kept(weight: Tensor, p: float, g: torch.Generator) -> Bool[Tensor, "G H"]:
    """``True`` with probability 1 - p, to within 1/65536.

    Sixteen random bits per entry: for a large weight most of the time goes into
    drawing them, and a uniform number has 32.
    """
    count = weight.numel()
    bits = torch.empty((count + 3) // 4, dtype=torch.int64, device=weight.device)
    bits.random_(-(2**63), 2**63 - 1, generator=g)
    sixteen = bits.view(torch.int16)[:count].view(weight.shape)
    return sixteen >= min(round(p * 2**16), 2**16 - 1) - 2**15
