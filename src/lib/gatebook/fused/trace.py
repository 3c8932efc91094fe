"""From the reference step to lines of code, for the forward and the backward pass.

PyTorch traces `Core.step` and its vector-Jacobian product on one row of units. What
comes out is a list of pointwise operations, which are printed one line each, in what
C and Python have in common.
"""

import functools
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, fx

from gatebook.gates import Blocks, Constant, Full, Gate, Master, Ordered, Refine
from gatebook.recurrence.cells import AnyCore, noise_blocks, split
from gatebook.recurrence.scan import Draws, Pass, zone_out

UNITS = 8
"""Units of the rows that are traced; the printed lines hold for any number."""

Names = tuple[str, ...]
"""Expressions of a value, one for each block of H units."""


@dataclass(frozen=True)
class Options:
    """What a pass has besides weights and states; each adds operands to the step."""

    noise: bool = False
    keep_h: bool = False
    keep_c: bool = False
    alive: bool = False
    training: bool = True
    zoneout: tuple[float, float] = (0.0, 0.0)


def options_of(given: Pass) -> Options:
    """What the step of a pass has to read."""
    draws = given.draws or Draws()
    return Options(
        noise=draws.noise is not None,
        keep_h=draws.keep_h is not None,
        keep_c=draws.keep_c is not None,
        alive=given.alive is not None,
        training=given.draws is not None,
        zoneout=given.zoneout,
    )


def operands_of(given: Pass) -> list[Tensor | None]:
    """All tensors of a pass, contiguous: the seven that may have a gradient first."""
    draws = given.draws or Draws()
    drawn = draws.noise, draws.detached, draws.keep_h, draws.keep_c
    tensors = (given.x, *given.weights.all(), given.h, given.c, *drawn, given.alive)
    return [t if t is None else t.contiguous() for t in tensors]


@functools.lru_cache(1024)
def like(core: AnyCore) -> AnyCore:
    """The small core that stands for all with the same step."""
    gate = replace(core.gate, gradient=Full())
    return replace(core, gate=gate, hidden_size=UNITS * downsize(gate))


@dataclass(frozen=True)
class Program:
    """Lines ``name = expression``, and the expression of each result.

    `cpu.build` makes C of a line, `gpu.build` Triton. Both define ``sigmoid_``,
    ``tanh_`` and ``where_``, and know ``real_(0.5)`` as a constant.
    """

    lines: list[str]
    results: list[Names]


@dataclass(frozen=True)
class Stage:
    """A block that is activated before the step, since units act on each other there.

    ``kind`` is ``"cumax"``, where every unit's gate sums over those before it, or
    ``"sigmoid"``, for master gates. Each value then serves ``downsize`` units.
    """

    block: int
    kind: str
    downsize: int


@dataclass(frozen=True)
class Step:
    """A core's step, forward and backward.

    ``apart`` holds the positions of the blocks whose recurrent product must be kept
    apart from the input's, as a GRU's reset gate comes between the two. ``entry``
    and ``leave`` are the noise of the staged blocks and its derivative.
    """

    forward: Program
    backward: Program
    apart: tuple[int, ...]
    stages: tuple[Stage, ...]
    entry: Program
    leave: Program


def trace(core: AnyCore, options: Options) -> Step:
    """Derive both passes of ``core`` from the reference step.

    In a thread of its own, so that nothing which the caller has switched on acts here:
    hooks for saved tensors, fake tensors, autocast, a default device.

    Raises:
        Unprintable: if the gate is not pointwise.
    """
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(_trace, core, options).result()


def _trace(core: AnyCore, options: Options) -> Step:
    stages = _stages(core)
    entry, leave = _entry(core, options)
    core = replace(core, gate=_staged(core.gate), hidden_size=UNITS)
    operands = _operands(core, options)

    def forward(*values: Tensor) -> tuple[Tensor, ...]:
        return _step(core, options, dict(zip(operands, values, strict=True)))

    inputs = [torch.zeros(1, n * UNITS, dtype=kind) for n, kind in operands.values()]
    seeds = [torch.zeros(1, UNITS) for _ in range(2 if core.tied else 3)]
    real = [i for i, (_, kind) in enumerate(operands.values()) if kind is torch.float32]

    def backward(*values: Tensor) -> tuple[Tensor, ...]:
        given, grads = list(values[: len(inputs)]), values[len(inputs) :]

        def of_real(*some: Tensor) -> tuple[Tensor, ...]:
            merged = dict(zip(real, some, strict=True))
            return forward(*(merged.get(i, v) for i, v in enumerate(given)))

        pull = torch.func.vjp(of_real, *(given[i] for i in real))[1]
        return pull(grads)

    graphs = _graph(forward, *inputs), _graph(backward, *inputs, *seeds)
    leaves = {name: _leaves(name, n) for name, (n, _) in operands.items()}
    ends = [(g,) for g in ("dout", "dh", "dc")][: len(seeds)]
    first = _print(graphs[1], [*leaves.values(), *ends])
    by_x, by_rec = first.results[:2]
    apart = tuple(k for k, name in enumerate(by_x) if name != by_rec[k])
    # Elsewhere the sum is kept, so the recurrent share is already in x.
    shared = (name if k in apart else "0" for k, name in enumerate(leaves["rec"]))
    leaves["rec"] = tuple(shared)
    return Step(
        _print(graphs[0], list(leaves.values())),
        _print(graphs[1], [*leaves.values(), *ends]),
        apart,
        stages,
        entry,
        leave,
    )


def _graph(function: Callable[..., Any], *values: Tensor) -> fx.GraphModule:
    from torch.fx.experimental.proxy_tensor import make_fx  # takes over a second

    return make_fx(function)(*values)


def _operands(core: AnyCore, options: Options) -> dict[str, tuple[int, torch.dtype]]:
    """What a step reads: number of blocks and kind, in the order of the lines."""
    width, real, mask = len(core.blocks()), torch.float32, torch.bool
    found: dict[str, tuple[int, torch.dtype]] = {
        "x": (width, real),
        "rec": (width, real),
        "h": (1, real),  # the old states, for zoneout and ended sequences
        "c": (1, real),
        "read": (1, real),  # the cell state that the step reads, perhaps detached
    }
    if options.noise:
        found["noise"] = (len(noise_blocks(core)), real)
    for name in ("keep_h", "keep_c", "alive"):
        if getattr(options, name):
            found[name] = (1, mask)
    return found


def _step(core: AnyCore, o: Options, v: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """One step as in `scan.scan`: (output, h) of a GRU, else with c."""
    names = core.blocks()
    sizes = dict.fromkeys(names, UNITS)
    noise = None
    if o.noise:
        noise = split(v["noise"], {k: sizes[k] for k in noise_blocks(core)})
    h, c, _ = core.step(v["x"], v["rec"], v["h"], v["read"], noise, o.training)
    c = zone_out(v["c"], c, v.get("keep_c"), o.zoneout[0], o.training)
    h = zone_out(v["h"], h, v.get("keep_h"), o.zoneout[1], o.training)
    out = h
    if o.alive:
        h = torch.where(v["alive"], h, v["h"])
        c = torch.where(v["alive"], c, v["c"])
        out = out * v["alive"]
    return (out, h) if core.tied else (out, h, c)


# --------------------------------------------------------------------------
# Gates whose units act on each other
# --------------------------------------------------------------------------


class _Given(Constant):
    """Stands for an activation that has acted before the step."""

    def forget(self, pre: Tensor) -> Tensor:
        return pre

    def input(self, pre: Tensor) -> Tensor:
        return pre


class _GivenOrdered(_Given):
    """P2 eq. 29: the ordered input gate is 1 - cumax."""

    def input(self, pre: Tensor) -> Tensor:
        return 1 - pre


class _Staged(Gate):
    """A gate whose activation, noise included, has acted on the staged blocks."""

    def noisy(
        self, pre: Blocks, noise: Blocks | None = None, training: bool = False
    ) -> Blocks:
        staged = {name: pre[name] for name in _activated(self) if name in pre}
        rest = {name: value for name, value in pre.items() if name not in staged}
        return super().noisy(rest, noise, training) | staged


def _activated(gate: Gate) -> tuple[str, ...]:
    """The blocks that the gate's activation acts on."""
    if isinstance(gate.auxiliary, Master):
        return ("master_forget", "master_input")
    return ("forget",) if isinstance(gate.auxiliary, Refine) else ("forget", "input")


def downsize(gate: Gate) -> int:
    """How many units share a value of the gate's staged blocks."""
    return gate.auxiliary.downsize if isinstance(gate.auxiliary, Master) else 1


def _needs_stages(gate: Gate) -> bool:
    return isinstance(gate.activation, Ordered) or isinstance(gate.auxiliary, Master)


def _staged(gate: Gate) -> Gate:
    if not _needs_stages(gate):
        return gate
    ordered = isinstance(gate.activation, Ordered)
    one = isinstance(gate.auxiliary, Master)
    return _Staged(
        _GivenOrdered() if ordered else _Given(),
        Master(downsize=1) if one else gate.auxiliary,
        gate.noise,
        gate.gradient,
    )


def _stages(core: AnyCore) -> tuple[Stage, ...]:
    gate = core.gate
    if not _needs_stages(gate):
        return ()
    kind = "cumax" if isinstance(gate.activation, Ordered) else "sigmoid"
    names = list(core.blocks())
    return tuple(
        Stage(names.index(name), kind, downsize(gate))
        for name in _activated(gate)
        if name in names
    )


def _entry(core: AnyCore, options: Options) -> tuple[Program, Program]:
    """What noise makes of one pre-activation, and the derivative of that."""
    leaves = [("x0",)] + ([("noise0",)] if options.noise else [])
    row = torch.zeros(1, UNITS)

    def enter(*values: Tensor) -> tuple[Tensor, ...]:
        noise = values[1] if options.noise else None
        return (core.gate.noise.apply(values[0], noise, options.training) * 1,)

    def pull(seed: Tensor, *values: Tensor) -> tuple[Tensor, ...]:
        back = torch.func.vjp(lambda x: enter(x, *values[1:]), values[0])[1]
        return back((seed,))

    given = [row.clone() for _ in leaves]
    return (
        _print(_graph(enter, *given), leaves),
        _print(_graph(pull, row, *given), [("g0",), *leaves]),
    )


def _leaves(name: str, blocks: int) -> Names:
    return tuple(f"{name}{k}" for k in range(blocks))


# --------------------------------------------------------------------------
# Printing
# --------------------------------------------------------------------------

aten = torch.ops.aten

POINTWISE: dict[Any, str] = {
    aten.add.Tensor: "{0} + {1}",
    aten.sub.Tensor: "{0} - {1}",
    aten.rsub.Scalar: "{1} - {0}",
    aten.mul.Tensor: "{0} * {1}",
    aten.div.Tensor: "{0} / {1}",
    aten.neg.default: "-{0}",
    aten.sigmoid.default: "sigmoid_({0})",
    aten.tanh.default: "tanh_({0})",
    aten.sigmoid_backward.default: "{0} * {1} * (1 - {1})",
    aten.tanh_backward.default: "{0} * (1 - {1} * {1})",
    aten.where.self: "where_({0}, {1}, {2})",
}
"""Each operation that a gate may use. A gate that uses another one is run by
the reference loop; see `Unprintable`."""

SAME = {aten.detach.default, aten.clone.default, aten._to_copy.default}
ZERO = {aten.zeros_like.default, aten.zeros.default, aten.new_zeros.default}


class Unprintable(NotImplementedError):
    """The step holds an operation that is not pointwise, such as cumax's sums."""


def _print(graph: fx.GraphModule, leaves: Sequence[Names]) -> Program:
    """Lines for the operations of ``graph`` that its results rest on."""
    graph.graph.eliminate_dead_code()
    values: dict[fx.Node, Any] = {}
    lines: list[str] = []
    given = iter(leaves)
    for node in graph.graph.nodes:
        if node.op == "placeholder":
            values[node] = next(given)
        elif node.op == "call_function":
            values[node] = _operation(node, values, lines)
        elif node.op == "output":
            results = [values[n] for n in node.args[0]]
    return Program(_alive_lines(lines, results), results)


def _operation(node: Any, values: dict[fx.Node, Any], lines: list[str]) -> Any:
    read: Callable[[Any], Any] = lambda a: values[a] if isinstance(a, fx.Node) else a  # noqa: E731
    target, args = node.target, [read(a) for a in node.args]
    if target in SAME or target is aten.scalar_tensor.default:
        return args[0]
    if target in ZERO:
        return ("0",) * (node.meta["val"].numel() // UNITS)
    if target is aten.cat.default:
        return sum((read(part) for part in node.args[0]), ())
    if target is aten.split_with_sizes.default:
        ends = [size // UNITS for size in args[1]]
        starts = [sum(ends[:k]) for k in range(len(ends))]
        return [args[0][s : s + n] for s, n in zip(starts, ends, strict=True)]
    if getattr(target, "__name__", "") == "getitem":
        return args[0][args[1]]
    if target not in POINTWISE:
        raise Unprintable(f"{target} is not a pointwise operation")
    blocks = max(len(a) for a in args if isinstance(a, tuple))
    return tuple(_line(POINTWISE[target], args, k, lines) for k in range(blocks))


def _line(form: str, args: list[Any], block: int, lines: list[str]) -> str:
    words = [a[block] if isinstance(a, tuple) else _number(a) for a in args]
    if form == "{0} + {1}" and "0" in words:
        return words[1] if words[0] == "0" else words[0]
    if form == "{0} * {1}" and "0" in words:
        return "0"
    code = form.format(*words)
    for line in lines:  # the same expression twice is one line
        if line.endswith(f" = {code}"):
            return line.split()[0]
    name = f"v{len(lines)}"
    lines.append(f"{name} = {code}")
    return name


def _number(value: float) -> str:
    return f"real_({float(value)!r})" if value not in (0, 1) else str(int(value))


def _alive_lines(lines: list[str], results: Sequence[Names]) -> list[str]:
    """Without the lines that no result rests on."""
    wanted = {name for names in results for name in names}
    kept: list[str] = []
    for line in reversed(lines):
        name, code = line.split(" = ", 1)
        if name in wanted:
            kept.append(line)
            wanted |= set(_words(code))
    return kept[::-1]


def _words(code: str) -> list[str]:
    return "".join(c if c.isalnum() or c == "_" else " " for c in code).split()
