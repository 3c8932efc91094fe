"""What compression of its gates costs a translator (P1 §4.3, Tables 4 and 5)."""

from typing import Any

import torch
from gatebook import compress
from gatebook.compress import LowRank, Quantise, Round, Rule
from gatebook.compress.places import layers
from gatebook.compress.schemes import Scheme
from gatebook.training import History
from gatebook.translate.base import TranslationModel
from gatebook.translate.corpus import Corpus
from gatebook.translate.judge import judged
from torch import Tensor

from gatebook_book.studies.compressed import change
from gatebook_book.studies.translation import TranslationPoint

PAPER_UNITS = 256
"""H of P1's German to English model, whose ranks are 32 and 16."""

STEP, CLIP = 0.5, 1.0
"""P1's for translation."""


def scaled_rank(rank: int, hidden_size: int) -> int:
    """P1's rank as the same share of H, at least 1.

    Example:
        >>> scaled_rank(32, 128), scaled_rank(16, 128), scaled_rank(16, 256)
        (16, 8, 16)
    """
    return max(1, round(rank * hidden_size / PAPER_UNITS))


def gate_weights(model: TranslationModel) -> Tensor:
    """All weights of forget and input gates, of all layers of both sides, (N,)."""
    state = model.state_dict()
    places = [
        layer.place((part,), gate)
        for layer in layers(model)
        for part in ("ih", "hh")
        for gate in layer.gates("own")
    ]
    return torch.cat([place.read(state).flatten() for place in places])


def variants(model: TranslationModel) -> dict[str, list[Rule]]:
    """P1's compressions, two with a step in the weights' own scale, and four bits."""
    h = model.hidden_size
    scale = gate_weights(model).std().item()
    one: dict[str, Scheme] = {
        "original": LowRank(4 * h),
        "round": Round(STEP),
        "round-clip": Round(STEP, CLIP),
        "round-sd": Round(scale),
        "round-clip-sd": Round(scale, 2 * scale),
        "svd-32": LowRank(scaled_rank(32, h)),
        "svd-16": LowRank(scaled_rank(16, h)),
        "4-bit": Quantise(4),
    }
    return {name: [Rule(scheme)] for name, scheme in one.items()}


def measure(
    model: TranslationModel,
    point: TranslationPoint,
    history: History,
    *,
    count: int | None = None,
) -> dict[str, Any]:
    """`falls` for `train_translations`; a run that diverged has no figures."""
    if history.status != "finished":
        return {"metrics": {}, "rows": []}
    return falls(model, point.corpus, count=count)


def falls(
    model: TranslationModel, corpus: Corpus, *, count: int | None = None
) -> dict[str, Any]:
    """What each of `variants` costs in BLEU and saves in numbers.

    Arguments:
        model: trained on the corpus.
        corpus: whose test pairs are translated, with a beam of 5.
        count: how many of the test pairs; all by default.

    Returns:
        ``metrics``: ``bleu NAME``, tokenised; ``fall NAME``, BLEU lost; ``zeros
        NAME``, the share of the gates' weights that are 0; ``weights``, their standard
        deviation. ``rows`` has the rest.
    """
    rows: list[dict[str, Any]] = []
    for name, rules in variants(model).items():
        small = compress.apply(model, rules)
        assert isinstance(small.model, TranslationModel)
        rows.append(
            {
                "variant": name,
                "bleu": judged(small.model, corpus, count=count),
                "zeros": (gate_weights(small.model) == 0).double().mean().item(),
                "change": change(model, small),
                "fewer": small.compressed.ratio_of_numbers,
                "times": small.compressed.ratio,
            }
        )
    metrics = {"weights": gate_weights(model).std().item()}
    for row in rows:
        name = row["variant"]
        metrics[f"bleu {name}"] = row["bleu"]
        metrics[f"fall {name}"] = rows[0]["bleu"] - row["bleu"]
        metrics[f"zeros {name}"] = row["zeros"]
    return {"metrics": metrics, "rows": rows}
