"""Experiments with translation models: points that are trained, measured and stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gatebook.training import History
from gatebook.translate.artefact import VARIANTS
from gatebook.translate.base import TranslationModel
from gatebook.translate.corpus import Corpus
from gatebook.translate.judge import translations
from gatebook.translate.recipe import Recipe, paper_recipe
from gatebook.translate.scores import bleu, chrf, tokenised_bleu
from gatebook.translate.train import fit

from gatebook_book.runs.store import Run, Store
from gatebook_book.site.imports import sum_behind
from gatebook_book.studies.tasks import plain
from gatebook_book.studies.trained import trained_once


@dataclass(frozen=True)
class TranslationPoint:
    """One run: a translation model, its pairs, a recipe and a seed.

    Arguments:
        name: the method, as figures and tables call it.
        seed: decides the weights, the batches and all noise.
        corpus: the pairs.
        recipe: how to train.
        width: E of the model.
        hidden_size: H.
        num_layers: of the encoder, and of the decoder.
        variant: ``"between"`` or ``"paper"``.
        options: of the model: ``gate``, ``dropout``, ``bridge``, …
    """

    name: str
    seed: int
    corpus: Corpus
    recipe: Recipe
    width: int
    hidden_size: int
    num_layers: int = 2
    variant: str = "between"
    options: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        """All that decides the run's numbers; a stored run is found by it."""
        text = {"corpus": self.corpus.name, "source": self.corpus.bitext.origin}
        text["corpus_sum"] = self.corpus.sum
        names = ("width", "hidden_size", "num_layers", "variant")
        model = {n: getattr(self, n) for n in names}
        model["pairs"] = len(self.corpus.train.source)
        own = {name: plain(value) for name, value in self.options.items()}
        return {**text, **model, **own, **asdict(self.recipe)}

    def build(self, device: str = "cpu") -> TranslationModel:
        """The model, untrained."""
        sizes = (self.corpus.subwords.size, self.width, self.hidden_size)
        options: dict[str, Any] = {**self.options, "seed": self.seed}
        return VARIANTS[self.variant](*sizes, self.num_layers, **options).to(device)


def point(
    method: str,
    seed: int,
    corpus: Corpus,
    *,
    updates: int,
    tokens: int = 2000,
    learning_rate: float = 3e-3,
    variant: str = "between",
    width: int = 128,
    hidden_size: int = 128,
    num_layers: int = 2,
    dropout: float = 0.2,
    name: str | None = None,
    **options: Any,
) -> TranslationPoint:
    """The run of a gate, the same on every page that gives the same values.

    Arguments:
        method: a gate's name.
        seed: of the run.
        corpus: the pairs.
        updates: of the recipe, as ``tokens`` and ``learning_rate``. The variant
            ``"paper"`` has P1's recipe, of which only the updates are chosen.
        tokens: places of a batch.
        learning_rate: Adam's.
        variant: ``"between"`` or ``"paper"``.
        width: E.
        hidden_size: H.
        num_layers: of either side.
        dropout: of the layers' outputs.
        name: what figures and tables call it; the gate by default.
        options: of the model, such as ``bridge=False``.
    """
    recipe = Recipe(updates, tokens, learning_rate=learning_rate, checks=8)
    if variant == "paper":
        recipe = paper_recipe(updates)
    own = {"gate": method, "dropout": dropout, **options}
    sizes = (width, hidden_size, num_layers)
    return TranslationPoint(name or method, seed, corpus, recipe, *sizes, variant, own)


Measure = Callable[[TranslationModel, TranslationPoint, History], dict[str, Any]]
"""Fields of a run beside its curve, taken from the trained model: ``metrics``, …"""


def scored(
    model: TranslationModel,
    corpus: Corpus,
    *,
    part: str = "test",
    beam: int = 5,
    count: int | None = None,
) -> tuple[dict[str, float], list[str]]:
    """Scores of a part's translations, and the translations themselves.

    Returns:
        ``tokenised``, P1's BLEU; ``bleu``, sacrebleu's in lower case; ``chrf``.
    """
    said = translations(model, corpus, part, beam=beam, count=count)
    wanted = corpus.lines(part, count).target
    found = {
        "tokenised": tokenised_bleu(said, wanted),
        "bleu": bleu(said, wanted).value,
        "chrf": chrf(said, wanted).value,
    }
    return found, said


def figures(
    model: TranslationModel,
    point: TranslationPoint,
    history: History,
    *,
    count: int | None = None,
) -> dict[str, Any]:
    """Scores of the test part with a beam of 5 and greedily, and its translations.

    A run that diverged has none. ``count`` limits the sentences.
    """
    if history.status != "finished":
        return {"metrics": {"tokenised": float("nan")}, "said": []}
    metrics, said = scored(model, point.corpus, count=count)
    greedy, _ = scored(model, point.corpus, beam=1, count=count)
    metrics["loss"] = history.curves["loss"][-1]
    metrics |= {f"greedy_{name}": value for name, value in greedy.items()}
    return {"metrics": metrics, "said": said}


def train_translations(
    store: Store,
    points: Sequence[TranslationPoint],
    *,
    measure: Measure = figures,
    settings: Mapping[str, Any] = {},
) -> list[Run]:
    """Train every point that has no stored run yet, and measure it.

    Arguments:
        store: of the page that calls.
        points: the runs, in the order of the result.
        measure: what is stored beside curve and status.
        settings: what decides the measure's numbers beside the point, as JSON values.

    Returns:
        the stored runs.
    """

    def make(point: TranslationPoint) -> Run:
        def work(_: Path) -> Run:
            model, history = trained(store, point)
            return {
                "status": history.status,
                "curves": history.curves,
                "parameter_count": sum(p.numel() for p in model.parameters()),
                "seconds": history.seconds,
                **measure(model, point, history),
            }

        parameters = {**point.parameters(), **settings}
        return store.run(point.name, point.seed, parameters, work)

    return [make(point) for point in points]


def trained(store: Store, point: TranslationPoint) -> tuple[TranslationModel, History]:
    """A point's trained model: made now, or by another page with the same code.

    Pages that look at the same training from several sides share it. Its weights lie
    beside the results and are not kept in git.
    """
    code = [sum_behind(f"gatebook.translate.{name}") for name in _CODE]
    return trained_once(store, point, fit, code=code, read=_read)


_CODE = ("train", "model", "paper")


def _read(stored: dict[str, Any]) -> History:
    return History(**stored)
