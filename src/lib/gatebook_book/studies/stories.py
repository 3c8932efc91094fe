"""Translators as readers of made-up texts: deep ones, and other tasks (P1 §5)."""

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from gatebook.training import History
from gatebook.translate.base import TranslationModel
from gatebook.translate.corpus import Corpus
from gatebook.translate.judge import translations

from gatebook_book.studies.translation import TranslationPoint, point


def named(
    gate: str, depth: int, residual: bool, seed: int, corpus: Corpus, **plan: Any
) -> TranslationPoint:
    """A run whose name says how deep it is: ``"G2-8"``, ``"G2-8-residual"``."""
    given = plan | {"num_layers": depth, "residual": residual}
    name = f"{gate}-{depth}" + ("-residual" if residual else "")
    return replace(point(gate, seed, corpus, **given), name=name)


def grid(
    corpus: Corpus,
    gates: Sequence[str],
    depths: Sequence[int],
    seeds: Sequence[int],
    plan: Mapping[str, Any],
    ways: Sequence[bool] = (False, True),
) -> list[TranslationPoint]:
    """Every gate at every depth with and without residuals, seed by seed."""
    return [
        named(gate, depth, residual, seed, corpus, **plan)
        for seed in seeds
        for depth in depths
        for residual in ways
        for gate in gates
    ]


def measure(
    model: TranslationModel, point: TranslationPoint, history: History
) -> dict[str, Any]:
    """How early and how well a task was learnt.

    ``mean_loss`` is the mean of the validation loss over the evaluations after the
    start, nats a token; ``exact`` the share of test texts whose answer is right to the
    last word, greedily.
    """
    if history.status != "finished":
        return {"metrics": {}}
    said = translations(model, point.corpus, beam=1)
    wanted = point.corpus.lines("test", len(said)).target
    right = [a == b for a, b in zip(said, wanted, strict=True)]
    losses = [
        loss
        for step, loss in zip(
            history.curves["step"], history.curves["loss"], strict=True
        )
        if step > 0
    ]
    found = {"mean_loss": statistics.fmean(losses), "loss": losses[-1]}
    return {"metrics": found | {"exact": statistics.fmean(right)}}
