"""A function of one example, printed as C: its values, and its derivative.

The memory of a differentiable neural computer takes hundreds of small operations per
step, on some hundred numbers per example: PyTorch spends its time between them, not
in them. No example needs another one. So PyTorch traces the function and its
vector-Jacobian product on one example, what comes out is printed as C, operation by
operation, and the C goes through the batch. No derivative is written.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx

from gatebook.fused.cpu import build
from gatebook.fused.trace import POINTWISE as OF_A_GATE
from gatebook.fused.trace import Unprintable

aten = torch.ops.aten

POINTWISE: dict[Any, str] = OF_A_GATE | {
    aten.mul.Scalar: "{0} * {1}",
    aten.exp.default: "exp_({0})",
    aten.log.default: "log({0})",
    aten.sqrt.default: "sqrt({0})",
    aten.tanh.default: "tanh_({0})",
    aten.softplus.default: "softplus_({0})",
    aten.softplus_backward.default: "{0} * sigmoid_({1})",
    aten.masked_fill.Scalar: "{1} ? {2} : {0}",
    aten.where.self: "{0} ? {1} : {2}",
}
"""Operations on each number separately; a function that needs others is not
printed."""

VIEWS = {
    *(aten.view.default, aten._unsafe_view.default, aten.expand.default),
    *(aten.squeeze.dim, aten.squeeze.dims, aten.unsqueeze.default),
    *(aten.transpose.int, aten.t.default, aten.permute.default),
    *(aten.slice.Tensor, aten.select.int, aten.detach.default, aten.alias.default),
    *(aten.split_with_sizes.default, aten.split.Tensor, aten.unbind.int),
}
"""Operations that look at the same numbers in another way."""

HEAD = """
#include <sched.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <tgmath.h>
#include <time.h>
typedef {real} real;
typedef size_t Z;
typedef long long whole;
#define DOUBLE {double}
#define INLINE static inline __attribute__((always_inline))
{shared}
INLINE real softplus_(real x) {{ return x > 20 ? x : log1p(exp_(x)); }}
#define EACH(i, n) for (int i = 0; i < n; i++)
"""

BODY = """
const int trips = {trips};
/* The number of examples, and the arrays, first those that are read. */
typedef struct {{ Z count; real **arrays; }} What;
int run(const What *w, int part, int parts) {{
  real *s = malloc({scratch} * sizeof(real));
  if (!s) return 1;
  Span own = share(w->count, part, parts);
  for (Z b = own.first; b < own.last; b++) {{
{lines}
  }}
  free(s);
  return 0;
}}
"""


@dataclass(frozen=True)
class Value:
    """Numbers in an array of C, seen as a tensor.

    Arguments:
        array: its name.
        seen: a tensor without numbers, whose shape, strides and offset are meant.
    """

    array: str
    seen: Tensor

    @property
    def shape(self) -> tuple[int, ...]:
        """The tensor's."""
        return tuple(self.seen.shape)

    def at(self, places: Sequence[str]) -> str:
        """The number at some places, aligned at the last axis, sizes of 1 repeated."""
        own = places[len(places) - self.seen.dim() :]
        terms = [
            f"{place} * {stride}" if stride > 1 else place
            for place, stride, size in zip(
                own, self.seen.stride(), self.shape, strict=True
            )
            if size > 1 and stride and place != "0"
        ]
        offset = self.seen.storage_offset()
        terms += [str(offset)] if offset or not terms else []
        return f"{self.array}[{' + '.join(terms)}]"


def trace(
    function: Callable[..., Sequence[Tensor]], shapes: Sequence[tuple[int, ...]]
) -> tuple[fx.Graph, fx.Graph]:
    """The graphs of a function and of its vector-Jacobian product.

    Arguments:
        function: of tensors with a batch of one in front.
        shapes: without the batch.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # takes over a second

    given = [torch.zeros(1, *shape) for shape in shapes]  # any numbers would do
    seeds = [torch.zeros_like(out) for out in function(*given)]

    def pull(*values: Tensor) -> list[Tensor]:
        leaves = [v.detach().requires_grad_() for v in values[: len(given)]]
        with torch.enable_grad():
            results = function(*leaves)
        grads = torch.autograd.grad(
            results, leaves, values[len(given) :], allow_unused=True
        )
        return [
            torch.zeros_like(leaf) if g is None else g
            for leaf, g in zip(leaves, grads, strict=True)
        ]

    there = make_fx(lambda *values: list(function(*values)))(*given)
    back = make_fx(pull)(*given, *seeds)
    return there.graph, back.graph


def source(graph: fx.Graph, real: str) -> str:
    """The C code of a traced function.

    Arguments:
        graph: its operations, on one example.
        real: ``"float"`` or ``"double"``.

    Raises:
        Unprintable: for an operation that cannot be printed.
    """
    made = _Printer(graph)
    shared = build.section("Threads") + build.section("Functions of one number")
    head = HEAD.format(real=real, double=int(real == "double"), shared=shared)
    lines = "\n".join(made.lines)
    return head + BODY.format(trips=made.trips, scratch=made.top, lines=lines)


class _Printer:
    """Goes through a graph, and prints each operation as a loop."""

    def __init__(self, graph: fx.Graph):
        graph.eliminate_dead_code()
        self.lines: list[str] = []
        self.values: dict[fx.Node, Any] = {}
        self.arrays = 0
        self.top = self.trips = 0
        for node in graph.nodes:
            if node.op == "placeholder":
                self.values[node] = self._array(node.meta["val"].shape)
            elif node.op == "call_function":
                self.values[node] = self._operation(node)
            elif node.op == "output":
                for value in map(self.values.__getitem__, node.args[0]):
                    self._move(value, self._array(value.shape))

    # -- arrays ------------------------------------------------------------

    def _array(self, shape: Sequence[int]) -> Value:
        """One that the caller gives: this example's part of it."""
        value = Value(f"a{self.arrays}", _like(shape))
        place = f"w->arrays[{self.arrays}] + b * {math.prod(shape)}"
        self.lines.append(f"real *{value.array} = {place};")
        self.arrays += 1
        return value

    def _new(self, shape: Sequence[int], kind: str = "real") -> Value:
        """An array of its own for a result."""
        name = f"v{len(self.lines)}"
        self.lines.append(f"{kind} *restrict {name} = ({kind} *)(s + {self.top});")
        wide = 2 if kind == "whole" else 1  # as many reals have room for it
        self.top += (math.prod(shape) * wide + 15) // 16 * 16
        return Value(name, _like(shape))

    def _each(self, shape: Sequence[int], line: Callable[[list[str]], str]) -> None:
        """Loops over all places of a shape around a line of C."""
        places = [f"i{k}" if size > 1 else "0" for k, size in enumerate(shape)]
        loops = [
            f"EACH({place}, {size})"
            for place, size in zip(places, shape, strict=True)
            if size > 1
        ]
        self.lines.append(" ".join([*loops, "{", line(places), "}"]))
        self.trips += math.prod(shape)

    # -- operations --------------------------------------------------------

    def _operation(self, node: fx.Node) -> Any:
        read = lambda a: self.values[a] if isinstance(a, fx.Node) else a  # noqa: E731
        args: Any = fx.node.map_aggregate(node.args, read)
        kwargs: Any = fx.node.map_aggregate(node.kwargs, read)
        target: Any = node.target
        if getattr(target, "__name__", "") == "getitem":
            return args[0][args[1]]
        if target in VIEWS:
            return self._view(target, args, kwargs)
        if target in POINTWISE:
            return self._pointwise(POINTWISE[target], args)
        name = target.name().removeprefix("aten::").split(".")[0]
        rule = getattr(self, f"_op_{name}", None)
        if rule is None:
            raise Unprintable(f"{target} cannot be printed as C")
        return rule(*args, **kwargs)

    def _view(self, target: Any, args: Any, kwargs: Any) -> Any:
        """Torch itself says where the numbers of a view are."""
        value, *rest = args
        try:
            seen = target(value.seen, *rest, **kwargs)
        except RuntimeError:  # not without a copy
            value = self._copy(value)
            seen = target(value.seen, *rest, **kwargs)
        if isinstance(seen, Tensor):
            return Value(value.array, seen)
        return [Value(value.array, part) for part in seen]

    def _copy(self, value: Value) -> Value:
        made = self._new(value.shape)
        self._move(value, made)
        return made

    def _move(self, value: Value, to: Value) -> None:
        self._each(value.shape, lambda i: f"{to.at(i)} = {value.at(i)};")

    def _pointwise(self, form: str, args: Any) -> Value:
        tensors = [a for a in args if isinstance(a, Value)]
        shape = torch.broadcast_shapes(*(t.shape for t in tensors))
        made = self._new(shape)

        def line(i: list[str]) -> str:
            words = [a.at(i) if isinstance(a, Value) else _number(a) for a in args]
            return f"{made.at(i)} = {form.format(*words)};"

        self._each(shape, line)
        return made

    def _op_clone(self, x: Value, **_: Any) -> Value:
        return self._copy(x)

    def _op__to_copy(self, x: Value, **_: Any) -> Value:
        return x

    def _fill(self, shape: Sequence[int], value: float) -> Value:
        made = self._new(shape)
        self._each(shape, lambda i: f"{made.at(i)} = {_number(value)};")
        return made

    def _op_zeros_like(self, x: Value, **_: Any) -> Value:
        return self._fill(x.shape, 0)

    def _op_zeros(self, shape: Sequence[int], **_: Any) -> Value:
        return self._fill(shape, 0)

    def _op_new_zeros(self, x: Value, shape: Sequence[int], **_: Any) -> Value:
        return self._fill(shape, 0)

    def _op_eye(self, n: int, **_: Any) -> Value:
        made = self._new((n, n))
        self._each((n, n), lambda i: f"{made.at(i)} = {i[0]} == {i[1]};")
        return made

    def _op_sum(self, x: Value, dims: list[int], keep: bool = False) -> Value:
        dims = [d % x.seen.dim() for d in dims]
        kept = [1 if d in dims else n for d, n in enumerate(x.shape)]
        total = self._fill(kept, 0)
        shown = total.seen.expand(x.shape)
        into = Value(total.array, shown)
        self._each(x.shape, lambda i: f"{into.at(i)} += {x.at(i)};")
        left = [n for d, n in enumerate(kept) if keep or d not in dims]
        return Value(total.array, total.seen.view(left))

    def _along(self, x: Value, dim: int) -> tuple[list[int], int, int]:
        """The shape with one axis of size 1, that axis, and its size."""
        dim %= x.seen.dim()
        shape = [1 if d == dim else n for d, n in enumerate(x.shape)]
        return shape, dim, x.shape[dim]

    def _op_cumsum(self, x: Value, dim: int) -> Value:
        made = self._new(x.shape)
        shape, dim, size = self._along(x, dim)

        def line(i: list[str]) -> str:
            j = [*i[:dim], "j", *i[dim + 1 :]]
            return (
                f"real t = 0; EACH(j, {size}) {{ t += {x.at(j)}; {made.at(j)} = t; }}"
            )

        self._each(shape, line)
        return made

    def _op__softmax(self, x: Value, dim: int, half: bool) -> Value:
        made = self._new(x.shape)
        shape, dim, size = self._along(x, dim)

        def line(i: list[str]) -> str:
            j = [*i[:dim], "j", *i[dim + 1 :]]
            first = [*i[:dim], "0", *i[dim + 1 :]]
            loop = f"EACH(j, {size})"
            return (
                f"real t = 0, m = {x.at(first)}; "
                f"{loop} m = {x.at(j)} > m ? {x.at(j)} : m; "
                f"{loop} t += {made.at(j)} = exp_({x.at(j)} - m); "
                f"{loop} {made.at(j)} /= t;"
            )

        self._each(shape, line)
        return made

    def _op__softmax_backward_data(
        self, grad: Value, y: Value, dim: int, kind: Any
    ) -> Value:
        made = self._new(y.shape)
        shape, dim, size = self._along(y, dim)

        def line(i: list[str]) -> str:
            j = [*i[:dim], "j", *i[dim + 1 :]]
            loop = f"EACH(j, {size})"
            return (
                f"real t = 0; {loop} t += {grad.at(j)} * {y.at(j)}; "
                f"{loop} {made.at(j)} = {y.at(j)} * ({grad.at(j)} - t);"
            )

        self._each(shape, line)
        return made

    def _op_bmm(self, a: Value, b: Value) -> Value:
        batch, rows, inner = a.shape
        made = self._fill((batch, rows, b.shape[2]), 0)

        def line(i: list[str]) -> str:
            k, n, j, m = *i[:2], *i[2:]
            return f"{made.at([k, n, m])} += {a.at([k, n, j])} * {b.at([k, j, m])};"

        self._each((batch, rows, inner, b.shape[2]), line)
        return made

    def _op_flip(self, x: Value, dims: list[int]) -> Value:
        made = self._new(x.shape)
        dims = [d % x.seen.dim() for d in dims]

        def line(i: list[str]) -> str:
            to = [
                f"({n} - 1 - {p})" if d in dims else p
                for d, (p, n) in enumerate(zip(i, x.shape, strict=True))
            ]
            return f"{made.at(i)} = {x.at(to)};"

        self._each(x.shape, line)
        return made

    def _op_cat(self, parts: list[Value], dim: int = 0) -> Value:
        dim %= parts[0].seen.dim()
        shape = list(parts[0].shape)
        shape[dim] = sum(part.shape[dim] for part in parts)
        made = self._new(shape)
        places = made.seen.split([part.shape[dim] for part in parts], dim)
        for part, place in zip(parts, places, strict=True):
            target = Value(made.array, place)
            self._move(part, target)
        return made

    def _op_stack(self, parts: list[Value], dim: int = 0) -> Value:
        wide = [Value(p.array, p.seen.unsqueeze(dim)) for p in parts]
        return self._op_cat(wide, dim)

    def _op_sort(
        self, x: Value, *, stable: bool, dim: int = -1, descending: bool = False
    ) -> list[Value]:
        """By insertion: rows are few, and equal ones stay in order."""
        made, order = self._new(x.shape), self._new(x.shape, "whole")
        shape, dim, size = self._along(x, dim)

        def line(i: list[str]) -> str:
            y = lambda k: made.at([*i[:dim], k, *i[dim + 1 :]])  # noqa: E731
            o = lambda k: order.at([*i[:dim], k, *i[dim + 1 :]])  # noqa: E731
            new = x.at([*i[:dim], "j", *i[dim + 1 :]])
            return (
                f"EACH(j, {size}) {{ real t = {new}; int k = j; "
                f"for (; k > 0 && {y('(k - 1)')} > t; k--) "
                f"{{ {y('k')} = {y('(k - 1)')}; {o('k')} = {o('(k - 1)')}; }} "
                f"{y('k')} = t; {o('k')} = j; }}"
            )

        self._each(shape, line)
        return [made, order]

    def _op_gather(self, x: Value, dim: int, index: Value, **_: Any) -> Value:
        made, dim = self._new(index.shape), dim % x.seen.dim()

        def line(i: list[str]) -> str:
            to = [*i[:dim], index.at(i), *i[dim + 1 :]]
            return f"{made.at(i)} = {x.at(to)};"

        self._each(index.shape, line)
        return made

    def _op_scatter(self, x: Value, dim: int, index: Value, src: Value) -> Value:
        made, dim = self._copy(x), dim % x.seen.dim()

        def line(i: list[str]) -> str:
            to = [*i[:dim], index.at(i), *i[dim + 1 :]]
            return f"{made.at(to)} = {src.at(i)};"

        self._each(index.shape, line)
        return made


def _like(shape: Sequence[int]) -> Tensor:
    return torch.empty(tuple(shape), device="meta")


def _number(value: Any) -> str:
    return f"(real){float(value)!r}"
