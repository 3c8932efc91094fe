"""Experiments with language models: points that are trained, measured and stored."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gatebook.language.corpus import Corpus
from gatebook.language.model import Dropouts, LanguageModel
from gatebook.language.recipe import Recipe
from gatebook.language.train import Progress, fit
from gatebook.training import History

from gatebook_book.runs.store import Run, Store
from gatebook_book.site.imports import sum_behind
from gatebook_book.studies.tasks import plain
from gatebook_book.studies.trained import trained_once


@dataclass(frozen=True)
class TextPoint:
    """One run: a language model, a text, a recipe and a seed.

    Arguments:
        name: the method, as figures and tables call it.
        seed: decides the weights, the windows and all noise.
        corpus: the text.
        recipe: how to train.
        width: W of the model.
        hidden_size: H.
        num_layers: layers.
        options: of `LanguageModel`: ``gate``, ``dropouts``, ``weight_drop``, …
    """

    name: str
    seed: int
    corpus: Corpus
    recipe: Recipe
    width: int
    hidden_size: int
    num_layers: int = 3
    options: Mapping[str, Any] = field(default_factory=dict)

    def parameters(self) -> dict[str, Any]:
        """All that decides the run's numbers; a stored run is found by it."""
        text = {"corpus": self.corpus.name, "source": self.corpus.source}
        model = {n: getattr(self, n) for n in ("width", "hidden_size", "num_layers")}
        text["corpus_sum"] = self.corpus.sum
        return {**text, **model, **_flat(self.options), **asdict(self.recipe)}

    def build(self, device: str = "cpu") -> LanguageModel:
        """The model, untrained."""
        sizes = (self.corpus.vocabulary_size, self.width, self.hidden_size)
        options = dict(self.options)
        model = LanguageModel(*sizes, self.num_layers, seed=self.seed, **options)
        return model.to(device)


Measure = Callable[[LanguageModel, TextPoint, Progress], dict[str, Any]]
"""Fields of a run beside its curve, taken from the trained model: ``metrics``, …"""


def figures(
    model: LanguageModel, point: TextPoint, progress: Progress
) -> dict[str, Any]:
    """The exact perplexities; ``perplexity`` is the test text's at the end."""
    found = dict(progress.figures)
    last = "finetuned_test" if "finetuned_test" in found else "trained_test"
    return {"metrics": {"perplexity": found.get(last, float("nan")), **found}}


def train_texts(
    store: Store, points: Sequence[TextPoint], *, measure: Measure = figures
) -> list[Run]:
    """Train every point that has no stored run yet, and measure it.

    Arguments:
        store: of the page that calls.
        points: the runs, in the order of the result.
        measure: what is stored beside curve and status.

    Returns:
        the stored runs.
    """

    def make(point: TextPoint) -> Run:
        def work(_: Path) -> Run:
            model, progress = trained(store, point)
            return {
                "status": progress.history.status,
                "curves": progress.history.curves,
                "switched_at": progress.switched_at,
                "parameter_count": sum(p.numel() for p in model.parameters()),
                "seconds": progress.history.seconds,
                **measure(model, point, progress),
            }

        return store.run(point.name, point.seed, point.parameters(), work)

    return [make(point) for point in points]


def trained(store: Store, point: TextPoint) -> tuple[LanguageModel, Progress]:
    """A point's trained model: made now, or by another page with the same code.

    Pages that look at the same training from several sides share it. Its weights lie
    beside the results and are not kept in git.
    """
    code = sum_behind("gatebook.language.train")
    return trained_once(store, point, fit, code=code, read=_read)


def _read(stored: dict[str, Any]) -> Progress:
    return Progress(**{**stored, "history": History(**stored["history"])})


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options as JSON values; the dropouts one by one."""
    flat: dict[str, Any] = {}
    for name, value in options.items():
        if isinstance(value, Dropouts):
            flat |= {f"dropout_{k}": v for k, v in asdict(value).items()}
        else:
            flat[name] = plain(value)
    return flat
