"""The ways that a pass on plain tensors can take, and what each needs."""

import functools
import warnings
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from gatebook.fused.cache import NoCompiler
from gatebook.fused.cpu import build as cpu_build
from gatebook.fused.cpu import function as cpu
from gatebook.fused.trace import Unprintable, options_of
from gatebook.recurrence.scan import Pass, Result, layer

PRECISE = (torch.float32, torch.float64)
"""What the fused scan computes in."""


def kernel_of(given: Pass) -> Any | None:
    """The compiled step of a pass, or ``None`` where the loop must run.

    That is so for a gate that cannot be printed, on devices other than CPUs and GPUs,
    and where there is no compiler; about the last it warns once.
    """
    kind, x = given.x.device.type, given.x
    if kind not in ("cpu", "cuda") or x.dtype not in PRECISE or 0 in x.shape:
        return None
    if not given.core.one_product:  # the loop alone has a second one in a step
        return None
    if not _fit(given):  # compiled code would read what is not there; torch says it
        return None
    try:
        if kind == "cuda":
            return _gpu_build().kernel(given.core, options_of(given))
        return cpu_build.kernel(given.core, options_of(given), x.dtype)
    except Unprintable:
        return None
    except NoCompiler as error:
        warn(str(error))
        return None


def _fit(given: Pass) -> bool:
    """Whether the states and weights are of the input's dtype, device and sizes."""
    x, weights = given.x, given.weights
    rows, units = sum(given.core.blocks().values()), given.core.hidden_size
    state = (x.shape[1], units)
    wanted = ((rows, x.shape[2]), (rows, units), (rows,), (rows,), state, state)
    found = (*weights.all(), given.h, given.c)
    return all(
        t is None or (t.shape == s and t.dtype == x.dtype and t.device == x.device)
        for t, s in zip(found, wanted, strict=True)
    )


@functools.cache
def warn(reason: str) -> None:
    """Warn once that the loop is slower."""
    warnings.warn(
        f"the reference loop runs, several times slower than the fused scan: {reason}",
        stacklevel=6,
    )


def _gpu_build() -> ModuleType:
    from gatebook.fused.gpu import build  # a CPU has no use for it

    return build


def _gpu() -> ModuleType:
    from gatebook.fused.gpu import function

    return function


def fused(passes: Sequence[Pass]) -> list[Result]:
    """The fused scan of passes that have a kernel.

    On a GPU those with the same step and shapes run as one batch of models; on a CPU
    one after the other, since one fills its cores.
    """
    if passes[0].x.device.type == "cpu":
        return [cpu.run(given) for given in passes]
    results: list[Any] = [None] * len(passes)
    for places in alike(passes):
        found = _gpu().run_many([passes[k] for k in places])
        for k, result in zip(places, found, strict=True):
            results[k] = result
    return results


def alike(passes: Sequence[Pass]) -> list[list[int]]:
    """Places of the passes that can run as one batch of models."""
    groups: dict[Any, list[int]] = {}
    for k, given in enumerate(passes):
        groups.setdefault(_gpu().step_of(given), []).append(k)
    return list(groups.values())


def loop(given: Pass, log: dict[str, list[Tensor]] | None = None) -> Result:
    """The reference loop; ``log`` gets the gates of all steps."""
    arguments = given.core, given.x, given.weights, given.h, given.c
    return layer(*arguments, **given.options(), log=log)
