"""Checkpoints: tensors in a checked file, the rest as JSON in its header."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gatebook.checked import Content, read_checked, write_checked
from gatebook.files import FileError, to_json
from gatebook.random import streams_of
from gatebook.rnn.names import name_gates


class CheckpointError(FileError):
    """A checkpoint cannot be written or read; the message says which and why."""


def save_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    progress: dict[str, Any],
    made_with: dict[str, Any],
) -> None:
    """Store weights, optimiser, random streams and progress in one file.

    Arguments:
        path: the file; its folder is made.
        model: its parameters, buffers and streams are stored.
        optimizer: its state tensors and scalars are stored.
        progress: JSON values: step, curves, what the loop must know.
        made_with: JSON values that must be the same when the run goes on, such as
            what `parts` says of the model.
    """
    tensors = {f"model.{k}": v for k, v in model.state_dict().items()}
    scalars: dict[str, Any] = {}
    for index, state in optimizer.state_dict()["state"].items():
        for key, value in state.items():
            if isinstance(value, Tensor):
                tensors[f"optimizer.{index}.{key}"] = value
            else:
                scalars[f"{index}.{key}"] = value
    for name, streams in streams_of(model).items():
        tensors |= {f"stream.{name}.{k}": v for k, v in streams.state().items()}
    tensors |= {f"torch.{k}": g.get_state() for k, g in _generators(model).items()}
    values = {"progress": progress, "optimizer": scalars, "made_with": made_with}
    header = {name: to_json(value) for name, value in values.items()}
    write_checked(path, tensors, header)


def load_checkpoint(
    path: Path,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    made_with: dict[str, Any],
) -> dict[str, Any]:
    """Put everything back and return the progress.

    Raises:
        CheckpointError: if the file is missing, cut short, altered, or of another
            model.
        ValueError: if it was made with something else than ``made_with``. Nothing
            has been put back then.
    """
    header, tensors = _read(path)
    _check_same(path, json.loads(header["made_with"]), made_with)
    try:
        model.load_state_dict(name_gates(_under(tensors, "model."), model))
        _restore_optimizer(optimizer, tensors, json.loads(header["optimizer"]))
        for name, streams in streams_of(model).items():
            own = _under(tensors, f"stream.{name}.")
            # The streams of a part inside this one have longer names.
            streams.load_state({k: v for k, v in own.items() if "." not in k})
        for name, generator in _generators(model).items():
            generator.set_state(tensors[f"torch.{name}"])
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise CheckpointError(
            f"checkpoint {path} cannot be used: {error}; delete it to start anew"
        ) from error
    return json.loads(header["progress"])


def progress_of(path: Path) -> dict[str, Any]:
    """The progress alone, for a caller that needs it before there is an optimiser.

    Raises:
        CheckpointError: if the file is missing, cut short or altered.
    """
    return json.loads(_read(path)[0]["progress"])


def parts(model: nn.Module) -> dict[str, str]:
    """What a model consists of: each part that has no parts of its own, as text.

    Shapes alone do not distinguish one gate from another.
    """
    leaves = {n: m for n, m in model.named_modules() if not list(m.children())}
    return {f"model.{n}" if n else "model": repr(m) for n, m in leaves.items()}


def _read(path: Path) -> Content:
    """Header and tensors, if they are what was written."""
    try:
        header, tensors = read_checked(path)
    except FileError as error:
        raise CheckpointError(f"checkpoint {error}; delete it to start anew") from error
    if not header.keys() >= {"progress", "optimizer", "made_with"}:
        raise CheckpointError(f"{path} is no checkpoint; allowed: one of a training")
    return header, tensors


def _check_same(path: Path, stored: dict[str, Any], wanted: dict[str, Any]) -> None:
    for name in stored | wanted:
        found, value = stored.get(name), wanted.get(name)
        if found != value:
            raise ValueError(
                f"{name} is {value}, but checkpoint {path} was made with {found}; "
                "allowed: the same, or delete the file"
            )


def _restore_optimizer(
    optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor], scalars: dict
) -> None:
    whole = optimizer.state_dict()
    entries: dict[int, dict[str, Any]] = {}
    for name, value in (_under(tensors, "optimizer.") | scalars).items():
        index, key = name.split(".", 1)
        entries.setdefault(int(index), {})[key] = value
    whole["state"] = entries
    optimizer.load_state_dict(whole)


def _generators(model: nn.Module) -> dict[str, torch.Generator]:
    """Torch's own generators where the model lives; its dropout draws from them."""
    generators = {"cpu": torch.default_generator}
    for p in model.parameters():
        if p.device.type == "cuda":
            generators["cuda"] = torch.cuda.default_generators[p.device.index]
    return generators


def _under(tensors: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)
    }
