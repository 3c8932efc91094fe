"""What compression of its gates costs a trained language model (P1 §4.3, Table 3)."""

import contextlib
import copy
import math
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from gatebook import compress
from gatebook.compress import Compressed, LowRank, Quantise, Round, Rule
from gatebook.compress.places import layers
from gatebook.gates import Sharpened
from gatebook.language.model import LanguageModel, detached
from gatebook.language.perplexity import part_perplexity, perplexity
from gatebook.language.train import Progress
from gatebook.language.windows import Columns, columns
from gatebook.rnn.module import LSTM
from gatebook.rnn.record import record
from torch import Tensor, nn

from gatebook_book.studies.texts import TextPoint, figures

PAPER_UNITS = 1150
"""H of P1's language model, whose ranks are 128 and 64."""

NOISES = (0.1, 0.3, 1.0)
"""Lengths of a change of the weights, relative to the weights."""

DRAWS = 5
SAMPLE = 10_000
"""Tokens of the validation text on which changes of the weights are tried."""

COLUMNS, STEPS = 10, 200
"""The window on which gates are recorded, gradients taken and outputs compared."""

TURNS = 10
"""Forward passes of which the quickest is taken."""


def scaled_rank(rank: int, hidden_size: int) -> int:
    """P1's rank as the same share of H, at least 1.

    Example:
        >>> scaled_rank(128, 128), scaled_rank(64, 128), scaled_rank(64, 1150)
        (14, 7, 64)
    """
    return max(1, round(rank * hidden_size / PAPER_UNITS))


def variants(model: LanguageModel) -> dict[str, list[Rule]]:
    """P1's compressions of a model, today's, and those of single parts.

    ``svd-64`` is P1's rank 64 at the model's size. The others of ``svd`` are named
    after their share of H. ``joint`` factors [W_x, W_h] as one.
    """
    h = max(model.hidden_sizes)
    small = LowRank(scaled_rank(64, h))
    one = {
        "original": Rule(LowRank(h)),
        "round": Rule(Round(0.2)),
        "round-clip": Rule(Round(0.2, 0.4)),
        "svd-128": Rule(LowRank(scaled_rank(128, h))),
        "svd-64": Rule(small),
        "svd-128-joint": Rule(LowRank(scaled_rank(128, h)), joint=True),
        "svd-64-joint": Rule(small, joint=True),
        "svd-1/4": Rule(LowRank(max(1, h // 4))),
        "svd-1/32": Rule(LowRank(max(1, h // 32))),
        **{f"{bits}-bit": Rule(Quantise(bits)) for bits in (8, 4, 3, 2)},
        **{
            f"svd-64 {gate}": Rule(small, gate)
            for gate in ("forget", "input", "update", "output")
        },
        **{
            f"svd-64 layer {k}": Rule(small, layers=[layer.name])
            for k, layer in enumerate(layers(model), 1)
        },
    }
    return {name: [rule] for name, rule in one.items()}


def measure(
    model: LanguageModel, point: TextPoint, progress: Progress
) -> dict[str, Any]:
    """A run's fields: what each compression costs and saves, and how flat the loss is.

    For `gatebook_book.studies.texts.train_texts`. The metrics of `figures` come
    first. For each of `variants`, ``rise <name>`` is the perplexity of the test text
    over the original's, minus 1; ``rows`` has the rest. ``flat <ε>`` and
    ``sharp <ε>`` are the rises of the loss, in nats, after a random change of the
    gates' weights and after the worst one to first order. ``slope`` is the mean slope
    of the gates (`mean_slope`).

    A run that diverged has the metrics of `figures` only: compression is judged on
    trained weights.
    """
    found = figures(model, point, progress)
    if progress.history.status != "finished":
        return {**found, "rows": []}
    window = _window(model, point)
    rows = [
        {"variant": name, **_row(model, point, rules, window)}
        for name, rules in variants(model).items()
    ]
    whole = rows[0]["perplexity"]
    for row in rows:
        row["rise"] = row["perplexity"] / whole - 1
    metrics = {f"rise {row['variant']}": row["rise"] for row in rows[1:]}
    metrics |= {f"perplexity {row['variant']}": row["perplexity"] for row in rows}
    metrics |= {f"fewer {row['variant']}": row["fewer"] for row in rows[1:]}
    metrics |= around(model, point, window) | {"slope": mean_slope(model, window)}
    return {"metrics": found["metrics"] | metrics, "rows": rows}


def around(model: LanguageModel, point: TextPoint, window: Columns) -> dict[str, float]:
    """Rises of the loss after changes of the gates' weights of relative length ε.

    ``flat`` are random, on the first tokens of the validation text; ``sharp`` go
    along the gradient of the loss of ``window``, and it is this loss that rises.
    """
    ids, eos = point.corpus.valid[:SAMPLE], point.corpus.eos

    def text(model: Any) -> float:
        return perplexity(model, ids, eos=eos).loss

    def here(model: Any) -> Tensor:
        return _loss(model, window)

    found: dict[str, float] = {}
    for noise in NOISES:
        found[f"flat {noise:g}"] = compress.flatness(model, text, noise, DRAWS).rise
        found[f"sharp {noise:g}"] = compress.sharpness(model, here, noise)
    return found


def mean_slope(model: LanguageModel, window: Columns) -> float:
    """The mean of ∂gate/∂α over forget and input gates, units, layers and steps.

    It is at most 1/4, and small where gates are near 0 or 1. α is what the weights
    give, before it is divided by the temperature of the sharpened gate, whose slope
    can therefore be 1/(4 τ).
    """
    slopes = []
    with contextlib.ExitStack() as stack, torch.no_grad():
        lstms = [layer for layer in model.layers if isinstance(layer, LSTM)]
        kept = [stack.enter_context(record(layer)) for layer in lstms]
        _outputs(model, window)
        for layer, gates in zip(lstms, kept, strict=True):
            noise = layer.gate.noise
            t = noise.tau if isinstance(noise, Sharpened) else 1.0
            for name in ("effective_forget", "effective_input"):
                g = gates["l0"][name].data
                slopes.append((g * (1 - g) / t).flatten())
    return torch.cat(slopes).mean().item()


def change(model: nn.Module, small: Compressed) -> float:
    """How far compression moves the weights it is for: ‖ΔW‖ / ‖W‖, all together."""
    before, after = model.state_dict(), small.model.state_dict()
    squares = [
        ((place.read(after) - place.read(before)).square().sum(), w.square().sum())
        for place in small.forms
        for w in (place.read(before),)
    ]
    moved, length = (sum(parts).item() for parts in zip(*squares, strict=True))
    return math.sqrt(moved / length)


def _row(
    model: LanguageModel, point: TextPoint, rules: Sequence[Rule], window: Columns
) -> dict[str, Any]:
    small = compress.apply(model, rules)
    size = small.compressed
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        written = small.save(file)
        again = compress.load(file, into=copy.deepcopy(model))
    assert isinstance(again, LanguageModel) and isinstance(small.model, LanguageModel)
    same = torch.equal(_outputs(again, window), _outputs(small.model, window))
    return {
        "perplexity": part_perplexity(again, point.corpus, "test").value,
        "change": change(model, small),
        "numbers": size.numbers,
        "fewer": size.ratio_of_numbers,
        "bytes": size.bytes,
        "times": size.ratio,
        "file_bytes": written,
        "reloaded_equal": same,
        "time": _slower(again, model, window),
    }


def _window(model: LanguageModel, point: TextPoint) -> Columns:
    """The first steps of ten columns of the validation text."""
    cut = columns(point.corpus.valid, COLUMNS, point.corpus.eos)
    return cut.window(0, STEPS, model.embedding.weight.device)


def _outputs(model: LanguageModel, window: Columns) -> Tensor:
    """Raw outputs of a window, in evaluation mode."""
    model.eval()
    with torch.no_grad():
        return model(window.read, model.start(window.read.shape[1])).raw


def _loss(model: LanguageModel, window: Columns) -> Tensor:
    """The window's mean loss from a zero state, with its gradient."""
    hidden = model(window.read, detached(model.start(window.read.shape[1])))
    return model.mean_nll(hidden.raw, window.target)


def _slower(small: LanguageModel, model: LanguageModel, window: Columns) -> float:
    """Time of a forward pass of ``small`` through its layers, over that of ``model``.

    The two take turns, and each one's quickest pass counts: other work on the machine
    then disturbs both alike.
    """
    best = {id(one): math.inf for one in (small, model)}
    for _ in range(TURNS):
        for one in (small, model):
            begin = time.perf_counter()
            _outputs(one, window).sum().item()  # which waits for a GPU
            best[id(one)] = min(best[id(one)], time.perf_counter() - begin)
    return best[id(small)] / best[id(model)]
