"""The scan as an operator that PyTorch's tools see as one node: ``gatebook::scan``.

An eager pass does not come here. A compiler, an exporter, a tracer or a mode that
watches operations cannot look into C, and is given the operator instead. Its gate is
written out in a string, so that a graph that was saved runs wherever `gatebook` has
been imported.
"""

import contextlib
import functools
import json
from collections.abc import Iterator, Sequence
from dataclasses import fields, is_dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.library import custom_op

from gatebook import gates
from gatebook.errors import check_choice
from gatebook.files import to_json
from gatebook.fused import ways
from gatebook.fused.cpu import function as cpu
from gatebook.fused.cpu.arrays import pool
from gatebook.fused.cpu.build import Kernel
from gatebook.fused.cpu.function import Grads, Operands
from gatebook.fused.later import after_import
from gatebook.fused.once import once_only
from gatebook.fused.trace import Options, Unprintable, like, operands_of, trace
from gatebook.gates import Gate
from gatebook.recurrence.cells import Core, GRUCore, LSTMCore
from gatebook.recurrence.scan import Draws, Pass, Result, Weights

_OPERANDS = (
    "Tensor x, Tensor w_ih, Tensor w_hh, Tensor? b_ih, Tensor? b_hh, Tensor h0, "
    "Tensor c0, Tensor? noise, Tensor? detached, Tensor? keep_h, Tensor? keep_c, "
    "Tensor? alive"
)
_OPTIONS = "str core, bool training, float[] zoneout"


def run(given: Pass) -> Result:
    """One layer in one direction, as one node."""
    operands = operands_of(given)
    # Its words are read here so that a compiler's graph serves no other gate.
    core = words_of(given.core, given.core.words)
    keep = (
        torch.is_grad_enabled()
        and any(t is not None and t.requires_grad for t in operands)
        # A graph that is made now and runs later is most often for evaluation.
        and not (torch.compiler.is_exporting() or torch.jit.is_tracing())
    )
    zoneout = list(given.zoneout)
    training = given.draws is not None
    return torch.ops.gatebook.scan(*operands, core, training, zoneout, keep)[:3]


# --------------------------------------------------------------------------
# A core in words
# --------------------------------------------------------------------------

_CORES: dict[str, Any] = {"LSTM": LSTMCore, "GRU": GRUCore}
_AXES = ("activation", "auxiliary", "noise", "gradient")

_kinds: dict[str, Any] = {
    name: kind for name, kind in vars(gates).items() if is_dataclass(kind)
}
"""Classes of the gate's axes by name; one of the user's joins them at its first use."""


def words_of(core: Core, words: str) -> str:
    """A core as JSON.

    Arguments:
        core: LSTM or GRU around a gate.
        words: differ for cores that differ.
    """
    return _json(core)


# A compiler cannot follow it, and takes the string as the graph is made.
words_of._dynamo_marked_constant = True  # type: ignore[attr-defined]


@functools.cache
def _json(core: Core) -> str:
    name = next(n for n, kind in _CORES.items() if isinstance(core, kind))
    axes = {axis: _part(getattr(core.gate, axis)) for axis in _AXES}
    own = {f.name: getattr(core, f.name) for f in fields(core) if f.init}
    del own["gate"]
    return to_json({"core": name, "options": own, "gate": axes})


def _part(part: Any) -> list[Any]:
    name = type(part).__name__
    _kinds.setdefault(name, type(part))
    return [name, {f.name: getattr(part, f.name) for f in fields(part) if f.init}]


@functools.cache
def core_of(text: str) -> Core:
    """The core that `words_of` has written.

    Raises:
        ValueError: for a part of a gate that this process does not know.
    """
    words = json.loads(text)
    axes = {}
    for axis, (name, own) in words["gate"].items():
        check_choice(axis, name, _kinds)
        axes[axis] = _kinds[name](**own)
    return _CORES[words["core"]](Gate(**axes), **words["options"])


# --------------------------------------------------------------------------
# The operator
# --------------------------------------------------------------------------


def _pass_of(
    operands: Operands, core: str, training: bool, zoneout: Sequence[float]
) -> Pass:
    x, ih, hh, b_ih, b_hh, h0, c0, noise, detached, keep_h, keep_c, alive = operands
    assert x is not None and ih is not None and hh is not None
    assert h0 is not None and c0 is not None
    draws = Draws(noise, detached, keep_h, keep_c) if training else None
    c, h = zoneout
    weights = Weights(ih, hh, b_ih, b_hh)
    return Pass(core_of(core), x, weights, h0, c0, draws, alive, (c, h))


def _cpu_kernel(given: Pass) -> Kernel | None:
    return ways.kernel_of(given) if given.x.device.type == "cpu" else None


@custom_op(
    "gatebook::scan",
    mutates_args=(),
    schema=f"({_OPERANDS}, {_OPTIONS}, bool keep) -> "
    "(Tensor out, Tensor h, Tensor c, Tensor hs, Tensor p, Tensor r, Tensor cs)",
)
def scan(*arguments):
    """The results of a pass, and the arrays that its backward pass reads.

    Without ``keep`` those arrays are empty, and a backward pass makes them again.
    """
    *operands, core, training, zoneout, keep = arguments
    given = _pass_of(operands, core, training, zoneout)
    operands, made = operands_of(given), _cpu_kernel(given)
    kept = _make_kept(*operands, core, keep)
    if made is None:
        with torch.no_grad():
            out, h, c = _otherwise(given)
        return out, h.clone(), c.clone(), *kept
    results, (hs, p, r, cs) = cpu.forward(given.core, made, keep, operands)
    if not keep:
        return *results, *kept
    for array in (p, r, cs):
        pool.let_go(array)
    return *results, hs if given.alive is not None else kept[0], p, r, cs


def _otherwise(given: Pass) -> Result:
    """The GPU's scan, or the loop."""
    fast = ways.kernel_of(given) is not None
    return ways.fused([given])[0] if fast else ways.loop(given)


def _make_kept(*arguments: Any) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Arrays of the shapes that `Work` keeps: outputs, P, R and C; see there."""
    x, _, w_hh, _, _, h0, _, _, _, _, _, alive, core, keep = arguments
    (steps, batch, _), (rows, units) = x.shape, w_hh.shape
    tied, none = core_of(core).tied, x.new_empty(0)
    if not keep or x.device.type != "cpu" or x.dtype not in ways.PRECISE:
        return none, none.clone(), none.clone(), none.clone()
    return (
        none if alive is None else x.new_empty(steps, batch, units),
        x.new_empty(steps * batch, rows),
        x.new_empty(steps * batch, units * _apart(core)),
        none.clone() if tied else x.new_empty(steps, batch, units),
    )


@functools.cache
def _apart(core: str) -> int:
    """How many blocks are kept apart; none without a fused scan."""
    try:
        return len(trace(like(core_of(core)), Options()).apart)
    except Unprintable:
        return 0


@scan.register_fake
def _(*arguments):
    *operands, core, training, zoneout, keep = arguments
    x, h0 = operands[0], operands[5]
    out = x.new_empty(x.shape[0], *h0.shape)
    last = x.new_empty(h0.shape), x.new_empty(h0.shape)
    return out, *last, *_make_kept(*operands, core, keep)


@custom_op(
    "gatebook::scan_backward",
    mutates_args=(),
    schema=f"(Tensor dout, Tensor dh, Tensor dc, {_OPERANDS}, Tensor out, Tensor hs, "
    f"Tensor p, Tensor r, Tensor cs, {_OPTIONS}, bool[] needs) -> Tensor[]",
)
def scan_backward(*arguments):
    """The gradients of those of the first seven operands that ``needs`` names."""
    *tensors, core, training, zoneout, needs = arguments
    gradients, operands, kept = tuple(tensors[:3]), tensors[3:15], tensors[15:]
    given = _pass_of(operands, core, training, zoneout)
    operands, made = operands_of(given), _cpu_kernel(given)
    if made is None:
        return _gradients_again(given, gradients, needs)
    out, hs, p, r, cs = kept
    own = None  # not kept
    if p.numel():  # P and R are used up, and belong to the graph
        own = (hs if given.alive is not None else out, p.clone(), r.clone(), cs)
    found = cpu.backward(given.core, made, operands, own, gradients, needs)
    return [grad for grad in found if grad is not None]


def _gradients_again(given: Pass, gradients: Result, needs: Sequence[bool]) -> Grads:
    """Autograd's gradients of the results, which are made once more."""
    w = given.weights
    ih, hh, h = w.ih.detach(), w.hh.detach(), given.h.detach()
    b_ih, b_hh = (b if b is None else b.detach() for b in (w.bias_ih, w.bias_hh))
    x, c = given.x.detach(), given.c.detach()
    again = replace(given, x=x, weights=Weights(ih, hh, b_ih, b_hh), h=h, c=c)
    leaves = zip((x, ih, hh, b_ih, b_hh, h, c), needs, strict=True)
    wanted = [t.requires_grad_() for t, need in leaves if need and t is not None]
    with _autograd(given.x.device.type):
        results = _otherwise(again)
        return list(
            torch.autograd.grad(
                results, wanted, gradients, allow_unused=True, materialize_grads=True
            )
        )


@contextlib.contextmanager
def _autograd(device: str) -> Iterator[None]:
    """Autograd, which PyTorch has put aside inside an operator."""
    included = torch._C._dispatch_tls_local_include_set()
    nothing = torch._C.DispatchKeySet.from_raw_repr(0)
    with (
        torch._C._ForceDispatchKeyGuard(included, nothing),
        torch.autocast(device, enabled=False),
        torch.enable_grad(),
    ):
        yield


@scan_backward.register_fake
def _(*arguments):
    *tensors, _, _, _, needs = arguments
    return [
        torch.empty_like(operand, memory_format=torch.contiguous_format)
        for operand, need in zip(tensors[3:10], needs, strict=True)
        if need
    ]


def _save(ctx, inputs, output):
    *operands, ctx.core, ctx.training, ctx.zoneout, _ = inputs
    out, _, _, *kept = output
    ctx.save_for_backward(*operands, out, *kept)


@once_only
def _backward(ctx, dout, dh, dc, *_):
    needs = list(ctx.needs_input_grad[:7])
    needs[6] = needs[6] and not core_of(ctx.core).tied  # a GRU's states are one
    options = ctx.core, ctx.training, ctx.zoneout, needs
    gradients = dout, dh, dc
    found = iter(
        torch.ops.gatebook.scan_backward(*gradients, *ctx.saved_tensors, *options)
    )
    made = [next(found) if need else None for need in needs]
    return *made, *[None] * 9


scan.register_autograd(_backward, setup_context=_save)


@scan.register_vmap
def _(info, places, *arguments):
    """One pass after the other: each may have weights of its own."""
    # An option that is a list comes with a list of places.
    pairs = list(zip(arguments, places, strict=True))

    def one(k: int) -> tuple[Tensor, ...]:
        return scan(*(a.select(at, k) if isinstance(at, int) else a for a, at in pairs))

    each = zip(*map(one, range(info.batch_size)), strict=True)
    return tuple(map(torch.stack, each)), (0,) * 7


# --------------------------------------------------------------------------
# Work in matrix products
# --------------------------------------------------------------------------


def _flops(x: Any, w_ih: Any, w_hh: Any, *_: Any, **__: Any) -> int:
    (steps, batch, features), (rows, units) = x, w_hh
    return 2 * steps * batch * rows * (features + units)


def _backward_flops(dout: Any, dh: Any, dc: Any, *rest: Any, **__: Any) -> int:
    operands, p, needs = rest[:12], rest[14], rest[-1]
    (steps, batch, features), _, (rows, units) = operands[:3]
    of_x, of_ih, of_hh, _, _, of_h, _ = needs
    steps_back = steps - 1 + of_h  # the first step's product serves its state alone
    wide = features * (of_x + of_ih) + units * of_hh
    again = 0 if p[0] else _flops(*operands)
    return 2 * batch * rows * (steps * wide + steps_back * units) + again


def _register_flops() -> None:
    from torch.utils.flop_counter import register_flop_formula

    register_flop_formula(torch.ops.gatebook.scan)(_flops)
    register_flop_formula(torch.ops.gatebook.scan_backward)(_backward_flops)


# The counter imports Triton, which takes half as long as torch itself.
after_import("torch.utils.flop_counter", _register_flops)
