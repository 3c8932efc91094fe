"""Trained models that pages share: made once, beside the results and not in git."""

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from gatebook.checked import read_checked, write_checked
from gatebook.random import derive_seed
from torch import nn

from gatebook_book.runs.locks import alone
from gatebook_book.runs.progress import show_progress
from gatebook_book.runs.store import Store

Told = Any
"""What a training tells of itself: a dataclass, such as its curves and status."""


@runtime_checkable
class Trainable(Protocol):
    """A point of a study: a model, what it learns from, and how."""

    @property
    def name(self) -> str:
        """The method, as figures and tables call it."""

    @property
    def seed(self) -> int:
        """Decides the weights, the batches and all noise."""

    @property
    def corpus(self) -> Any:
        """What the model learns from."""

    @property
    def recipe(self) -> Any:
        """How it is trained."""

    def parameters(self) -> dict[str, Any]:
        """All that decides the training, as JSON values."""

    def build(self, device: str) -> nn.Module:
        """The model, untrained."""


def trained_once(
    store: Store,
    point: Trainable,
    fit: Callable[..., Told],
    *,
    code: Any,
    read: Callable[[dict[str, Any]], Told],
) -> tuple[Any, Told]:
    """A point's trained model and what its training told of itself.

    It is made now, or was by another page with the same code. A training that is
    stopped goes on from its checkpoint.

    Arguments:
        store: of the page that calls; says the folder and the device.
        point: what is trained, on what, and how.
        fit: trains ``(model, corpus, recipe)``, with ``seed``, ``checkpoint`` and
            ``report``.
        code: the sums of the code that decides the weights; with others it is another
            training.
        read: what ``fit`` returned, from its fields as JSON values.
    """
    file = _file(store, point, code)
    if file not in _MADE:
        _MADE[file] = _trained(file, point, point.build(store.device), fit, read)
    return _MADE[file]


_MADE: dict[Path, tuple[nn.Module, Told]] = {}


def _file(store: Store, point: Trainable, code: Any) -> Path:
    parts = (sorted(point.parameters().items()), store.device, code)
    name = f"{point.name}-seed{point.seed}-{derive_seed(*parts):016x}.safetensors"
    folder = store.path.parents[len(Path(store.page).parts)]
    return folder / "models" / store.path.name / name


def _trained(
    file: Path, point: Trainable, model: nn.Module, fit: Callable[..., Told], read: Any
) -> tuple[nn.Module, Told]:
    unfinished = file.with_suffix(".part.safetensors")
    with alone(file):
        if file.exists():
            return model, _read(file, model, read)
        told = fit(
            model,
            point.corpus,
            point.recipe,
            seed=point.seed,
            checkpoint=unfinished,
            report=lambda line: show_progress(
                f"{point.name} seed {point.seed}: {line}"
            ),
        )
        header = {type(told).__name__.lower(): json.dumps(asdict(told))}
        write_checked(file, dict(model.state_dict()), header)
        unfinished.unlink(missing_ok=True)
        return model, told


def _read(file: Path, model: nn.Module, read: Callable[[dict[str, Any]], Told]) -> Told:
    header, tensors = read_checked(file)
    model.load_state_dict(tensors)
    (told,) = header.values()
    return read(json.loads(told))
