"""Compressed models in safetensors files: no pickle, whole or not there at all.

A file holds the tensors of each stored form under "layer/part/gate:field", all other
tensors of the model under their own names, and in its header, as JSON, which form is
where, what the recurrent modules are, and a SHA-256 sum of it all.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gatebook.checked import read_checked, write_checked
from gatebook.compress.describe import build, computes, describe
from gatebook.compress.forms import FORMS, Dense, Form
from gatebook.compress.places import Place, first_names, layers, recurrent
from gatebook.files import to_json
from gatebook.rnn.names import name_gates, without_names

FORMAT = "gatebook.compress 1"


def distinct(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A state with ``keep_vars``, without the second names of shared tensors."""
    first = first_names(state)
    return {name: state[name].detach() for name in first if first[name] == name}


def save(path: Path, model: nn.Module, forms: dict[Place, Form]) -> int:
    """Write a compressed model; returns the bytes written."""
    state = without_names(model.state_dict(keep_vars=True), model)
    # A weight of which some rows are compressed is stored in blocks.
    forms = forms | _rest(model, forms, state)
    cut = {weight for place in forms for weight in place.weights}
    first = first_names(state)
    tensors = {k: v for k, v in distinct(state).items() if k not in cut}
    for place, form in forms.items():
        tensors |= {f"{place.name}:{k}": v for k, v in form.tensors().items()}
    values = {
        "blocks": [_block(p, f, state) for p, f in forms.items()],
        "modules": {n: describe(m) for n, m in recurrent(model).items()},
        "shared": {name: one for name, one in first.items() if name != one},
    }
    header = {"format": FORMAT} | {k: to_json(v) for k, v in values.items()}
    return write_checked(path, tensors, header)


def load(path: Path | str, into: nn.Module | None = None) -> nn.Module:
    """Read a model that `Compressed.save` has written, in evaluation mode.

    Arguments:
        path: the file.
        into: a model of the same kind, which is filled and returned; ``None`` builds
            the model on the CPU, if it is a recurrent module itself.

    Raises:
        FileError: if the file is missing, cut short, altered or something else.
        ValueError: without ``into`` for a file that holds more than a recurrent
            module, or if ``into`` does not fit.
    """
    path = Path(path)
    header, tensors = read_checked(path, FORMAT)
    modules = json.loads(header["modules"])
    if into is None and "" not in modules:
        raise ValueError(
            f"into is None, but {path} holds a model around its recurrent modules "
            f"{sorted(modules)}; allowed: a model of the same kind to read it into"
        )
    model = _built(modules[""]) if into is None else into
    _check_same(path, modules, model)
    state = _state(header, tensors)
    _check_fits(path, state, model)  # before any of it is written
    model.load_state_dict(name_gates(state, model))  # `_check_same` has compared
    return model.eval()


def _check_fits(path: Path, state: Mapping[str, Tensor], model: nn.Module) -> None:
    """Raise unless the model has the tensors of the file, in their shapes."""
    own, stored = (without_names(s, model) for s in (model.state_dict(), state))
    if odd := sorted(own.keys() ^ stored.keys()):
        where = "into" if odd[0] in own else "the file"
        raise ValueError(
            f"into does not fit {path}: {where} alone has {odd[0]!r}; allowed: a model "
            "with the same tensors"
        )
    for name, value in stored.items():
        if own[name].shape != value.shape:
            raise ValueError(
                f"into does not fit {path}: {name!r} has the shape "
                f"{tuple(own[name].shape)}; allowed: {tuple(value.shape)}"
            )


def _built(described: dict[str, Any]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # the weights are drawn for nothing
        return build(described)


def _rest(
    model: nn.Module, forms: dict[Place, Form], state: Mapping[str, Tensor]
) -> dict[Place, Form]:
    """The other blocks of weights that hold compressed ones, as they are."""
    taken = {(w, place.gate) for place in forms for w in place.weights}
    cut = {weight for weight, _ in taken}
    places = [
        layer.place((part,), gate)
        for layer in layers(model)
        for part in ("ih", "hh")
        if layer.weight(part) in cut
        for gate in layer.gates("all")
        if (layer.weight(part), gate) not in taken
    ]
    return {place: Dense(place.read(state)) for place in places}


def _block(place: Place, form: Form, state: Mapping[str, Tensor]) -> dict[str, Any]:
    return {
        "form": type(form).__name__,
        "scalars": form.scalars(),
        "tensors": {field: f"{place.name}:{field}" for field in form.tensors()},
        "weights": place.weights,
        "widths": [state[w].shape[1] for w in place.weights],
        "first": place.first,
    }


def _state(header: dict[str, str], tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The model's state with every matrix as it runs."""
    state = dict(tensors)
    found: dict[str, dict[int, Tensor]] = {}
    for block in json.loads(header["blocks"]):
        parts = _take(block, state).split(block["widths"], 1)
        for weight, part in zip(block["weights"], parts, strict=True):
            found.setdefault(weight, {})[block["first"]] = part
    for weight, cut in found.items():
        state[weight] = torch.cat([cut[first] for first in sorted(cut)])
    shared = json.loads(header["shared"])
    return state | {name: state[first] for name, first in shared.items()}


def _take(block: dict[str, Any], tensors: dict[str, Tensor]) -> Tensor:
    """A block's matrix; its form's tensors are taken out of ``tensors``."""
    own = {field: tensors.pop(name) for field, name in block["tensors"].items()}
    return FORMS[block["form"]](**own, **block["scalars"]).decode()


def _check_same(path: Path, stored: dict[str, Any], model: nn.Module) -> None:
    """Raise unless the recurrent modules compute the same from the same weights."""
    own = {name: describe(module) for name, module in recurrent(model).items()}
    # Through JSON, as what was stored: a tuple is a list there.
    own = json.loads(to_json(own))
    if own.keys() != stored.keys():
        raise ValueError(
            f"into has recurrent modules {sorted(own)}; allowed: {sorted(stored)}, "
            f"as in {path}"
        )
    for name in stored:
        found, wanted = own[name], stored[name]
        if computes(found) != computes(wanted):
            raise ValueError(
                f"into has {found} as its module {name!r}; allowed: {wanted}, which "
                f"{path} holds, except for its gradient rule"
            )
