"""The relational memory core on a CPU, as one node of autograd.

`relational.c` runs all steps, each thread with some of the sequences. What no memory
goes into is done before, for all steps at once, and the weights' gradients after, in
one product each.
"""

import ctypes
import functools
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.fused import ways
from gatebook.fused.cache import NoCompiler
from gatebook.fused.cpu import build, threads
from gatebook.fused.cpu.arrays import pool
from gatebook.fused.cpu.function import hooked
from gatebook.fused.dispatch import acts_by_itself, loop_only, transformed, watched
from gatebook.fused.once import once_only
from gatebook.fused.trace import Options, Unprintable
from gatebook.gates import Chrono, Constant, Gate, Refine, Uniform
from gatebook.memory.relational import Relational
from gatebook.recurrence.cells import UpdateCore

C_CODE = (Path(__file__).parent / "relational.c").read_text(encoding="utf-8")

WEIGHTS = ("project", "first", "second", "gate")
NORMS = ("project", "read", "out")

EPSILON = 1e-5
"""Of the norms, as relational.c has it."""

_SIZES = ("T", "B", "slots", "H", "heads", "room")
_POINTERS = (
    *("m0", "entered", "gate_row", "noise", *WEIGHTS),
    *(f"b_{name}" for name in WEIGHTS),
    *(f"{part}_{name}" for name in NORMS for part in "gs"),
    *("out", "qkv", "qkv_scale", "weights", "read", "read_scale", "rows", "hidden"),
    *("done", "done_scale", "shown", "p"),
    *("dout", "dm", "dentered", "dgate_row", "sums", "scratch"),
)


class _Relation(ctypes.Structure):
    """`Relation` of relational.c."""

    _fields_ = [
        *((name, ctypes.c_size_t) for name in _SIZES),
        *((name, ctypes.c_void_p) for name in _POINTERS),
    ]


def kernel_of(cell: Relational, memory: Tensor, noisy: bool) -> build.Kernel | None:
    """The compiled step, or ``None`` where the reference loop must run.

    It supports one round of attention and a gate for each unit, in float32 and
    float64. Half precision, autocast, transforms of ``torch.func``, tools that watch
    operations and layers that are not the cell's own use the loop.
    """
    if len(cell.project) > 1 or cell.core.gate_per != "unit" or not memory.numel():
        return None
    if memory.device.type != "cpu" or memory.dtype not in ways.PRECISE:
        return None
    if loop_only() or transformed() or watched() or torch.is_autocast_enabled("cpu"):
        return None
    if acts_by_itself(memory) or not _is_own(cell, memory):
        return None
    return _kernel(cell, noisy, memory.dtype)


def _layers(cell: Relational) -> tuple[nn.Module, ...]:
    """Its layers in the order of `WEIGHTS` and `NORMS`."""
    linear = (cell.project[0], cell.first, cell.second, cell.gate_memory)
    return (*linear, cell.project_norm[0], cell.read_norm[0], cell.out_norm[0])


def _is_own(cell: Relational, memory: Tensor) -> bool:
    """Whether the cell is as it was made: C reads weights and calls no layer."""
    h, rows = cell.core.hidden_size, sum(cell.core.blocks().values())
    outputs = (3 * h, h, h, rows, 3 * h, h, h)
    if _is_altered(cell, Relational):
        return False
    pairs = zip(_layers(cell), outputs, strict=True)
    linear = len(WEIGHTS)
    return all(
        _is_plain(layer, (size, h) if k < linear else (size,), memory)
        for k, (layer, size) in enumerate(pairs)
    )


def _is_plain(layer: nn.Module, shape: tuple[int, ...], memory: Tensor) -> bool:
    """Whether C can stand for a layer, whose weight must have this shape."""
    if _is_altered(layer, nn.Linear if len(shape) == 2 else nn.LayerNorm):
        return False
    if isinstance(layer, nn.LayerNorm) and layer.eps != EPSILON:
        return False
    place, wanted = (memory.dtype, memory.device), (shape, shape[:1])
    return all(
        isinstance(t, Tensor)
        and not acts_by_itself(t)
        and (t.dtype, t.device) == place
        and t.shape == size
        for t, size in zip((layer.weight, layer.bias), wanted, strict=True)
    )


def _is_altered(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether it is of another class, or a user's function runs when it is called.

    Pruning, for one, makes the weight anew in a hook before each call.
    """
    hooks = "_forward_hooks", "_forward_pre_hooks", "_backward_hooks"
    hooked = any(getattr(module, name) for name in (*hooks, "_backward_pre_hooks"))
    return hooked or type(module) is not kind or "forward" in vars(module)


def _kernel(cell: Relational, noisy: bool, kind: torch.dtype) -> build.Kernel | None:
    gate = without_start(cell.core.gate)
    core = UpdateCore(gate, cell.core.hidden_size, C_CODE)
    options = Options(noise=noisy, training=noisy)
    try:
        made = build.kernel(core, options, kind)
    except Unprintable:
        return None
    except NoCompiler as error:
        ways.warn(str(error))
        return None
    made.code.relation_room.restype = ctypes.c_size_t
    made.code.relation_room.argtypes = [ctypes.c_size_t] * 2
    return made


def without_start(gate: Gate) -> Gate:
    """The gate that stands for all with the same step, however they start."""
    sigmoid = type(gate.activation) in (Constant, Chrono, Uniform)
    refined = type(gate.auxiliary) is Refine
    return replace(
        gate,
        activation=Constant() if sigmoid else gate.activation,
        auxiliary=Refine() if refined else gate.auxiliary,
    )


def run(
    made: build.Kernel,
    cell: Relational,
    memory: Float[Tensor, "B N D"],
    rows: Float[Tensor, "T B D"],
    gate_rows: Float[Tensor, "T B Z"],
    noise: Float[Tensor, "T B N Z"] | None,
) -> tuple[Float[Tensor, "T B N D"], Float[Tensor, "B N D"]]:
    """The memory after each step, and after the last; arguments as for the loop."""
    entered = cell.project_norm[0](cell.project[0](rows))
    weights = [t for layer in _layers(cell) for t in (layer.weight, layer.bias)]
    operands = [memory, entered, gate_rows, *weights]
    operands = [t.contiguous() for t in operands]
    noise = None if noise is None else noise.contiguous()
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in operands)
    return _Relate.apply(made, cell.core.heads, keep, noise, *operands)


# --------------------------------------------------------------------------
# The arrays of a pass
# --------------------------------------------------------------------------

Kept = dict[str, Tensor]
"""What the way back reads, by its name in relational.c; ``out`` first."""


@dataclass(frozen=True)
class Work:
    """One pass: its sizes, and the calls of the C code.

    Arguments:
        made: the compiled step.
        heads: of the attention.
        noise: the gate's draws.
        operands: memory, the input's rows, then weights and biases, gains and shifts,
            in the order of `WEIGHTS` and `NORMS`.
    """

    made: build.Kernel
    heads: int
    noise: Tensor | None
    operands: tuple[Tensor, ...]

    @functools.cached_property
    def sizes(self) -> tuple[int, int, int, int]:
        """T, B, N and H."""
        memory, entered, *_ = self.operands
        return (len(entered), *memory.shape)

    def given(self) -> Kept:
        """The operands by their names in C; weights come packed, and not from here."""
        memory, entered, gate_row, *rest = self.operands
        found = {"m0": memory, "entered": entered, "gate_row": gate_row}
        found |= {f"b_{w}": rest[2 * k + 1] for k, w in enumerate(WEIGHTS)}
        for k, norm in enumerate(NORMS, len(WEIGHTS)):
            found |= {f"g_{norm}": rest[2 * k], f"s_{norm}": rest[2 * k + 1]}
        return found if self.noise is None else found | {"noise": self.noise}

    def weight(self, k: int) -> Tensor:
        """The weight of the k-th of `WEIGHTS`."""
        return self.operands[3 + 2 * k]

    def room(self) -> Kept:
        """Arrays for all steps."""
        t, b, n, h = self.sizes
        kind, blocks = self.operands[0].dtype, self.weight(3).shape[0] + h
        wide = dict.fromkeys(("out", "read", "rows", "hidden", "done", "shown"), h)
        wide |= {"qkv": 3 * h, "p": blocks, "weights": self.heads * (n + 1)}
        wide |= dict.fromkeys(("qkv_scale", "read_scale", "done_scale"), 1)
        found = {k: pool.take((t, b, n, width), kind) for k, width in wide.items()}
        pool.let_go(found["out"])  # it goes to the caller
        return found

    def forward(self) -> Kept:
        """The memory after each step, and what the way back reads."""
        kept = self.room()
        self._run("relate", False, kept)
        return kept

    def backward(self, kept: Kept, dout: Tensor, dm: Tensor) -> Kept:
        """Gradients of the first memory, of the input's rows and of the norms.

        Turns arrays of ``kept`` into gradients of what they are made from.
        """
        made = {
            "dout": dout.contiguous(),
            "dm": dm.clone(memory_format=torch.contiguous_format),
            "dentered": torch.empty_like(self.operands[1]),
            "dgate_row": torch.empty_like(self.operands[2]),
        }
        wide = 15 * self.sizes[-1] + self.weight(3).shape[0]
        sums = self.operands[0].new_zeros(self._parts(), wide)
        self._run("unrelate", True, kept | made | {"sums": sums})
        return made | {"sums": sums.sum(0)}

    def _parts(self) -> int:
        t, b, n, h = self.sizes
        entries = sum(self.weight(k).numel() for k in range(len(WEIGHTS)))
        return min(threads.number(t * b * n * entries), b)

    def _run(self, way: str, back: bool, arrays: Kept) -> None:
        code, parts = self.made.code, self._parts()
        _, _, n, h = self.sizes
        room = code.relation_room(n, h)
        packed = {w: self._packed(k, back) for k, w in enumerate(WEIGHTS)}
        scratch = self.operands[0].new_empty(parts, room)
        every = self.given() | arrays | packed | {"scratch": scratch}
        what = _Relation(*self.sizes, self.heads, room)
        for name, array in every.items():
            setattr(what, name, array.data_ptr())
        threads.split(code, way, what, parts)

    def _packed(self, k: int, back: bool) -> Tensor:
        """A weight's panels, those of its transpose for the way back."""
        w, code = self.weight(k), self.made.code
        rows, columns = w.shape
        width, depth, *strides = (
            (columns, rows, 1, columns) if back else (rows, columns, columns, 1)
        )
        panels = w.new_empty(code.panels_size(width, depth))
        code.pack(w.data_ptr(), *strides, panels.data_ptr(), width, depth)
        return panels


class _Relate(torch.autograd.Function):
    """All steps as one node of autograd."""

    @staticmethod
    def forward(ctx, made, heads, keep, noise, *operands):
        kept = Work(made, heads, noise, operands).forward()
        out, *rest = kept.values()
        if keep:
            ctx.made, ctx.heads, ctx.names, ctx.used = made, heads, list(kept), False
            for array in rest:  # hooks for saved tensors may hold them
                pool.let_go(array) if hooked() else None
            ctx.save_for_backward(noise, *operands, out, *rest)
        else:
            for array in rest:
                pool.give(array)
        return out, out[-1].clone()

    @staticmethod
    @once_only
    def backward(ctx, d_out, d_last):
        noise, *saved = ctx.saved_tensors
        count = len(saved) - len(ctx.names)
        work = Work(ctx.made, ctx.heads, noise, tuple(saved[:count]))
        kept = dict(zip(ctx.names, saved[count:], strict=True))
        if ctx.used:  # the graph was retained, and its arrays are gradients now
            kept = work.forward()
        ctx.used = True
        made = work.backward(kept, d_out, d_last)
        grads = _gradients(work, kept, made)
        for array in kept.values():
            pool.give(array)
        return None, None, None, None, *grads


def _gradients(work: Work, kept: Kept, made: Kept) -> list[Tensor]:
    """Of all operands, in their order."""
    h = work.sizes[-1]
    memory, out = work.operands[0].flatten(0, 1), kept["out"]
    flat = {name: array.flatten(0, 2) for name, array in kept.items()}
    dqkv, dgate = flat["qkv"], flat["p"][:, :-h]
    of_project = dqkv[len(memory) :].t() @ out[:-1].flatten(0, 2)
    of_project.addmm_(dqkv[: len(memory)].t(), memory)
    own = [h, h, h, h, 3 * h, 3 * h, 3 * h, h, h, dgate.shape[1]]
    *norms, b_project, b_first, b_second, b_gate = made["sums"].split(own)
    gain, shift, gain_read, shift_read, *of_project_norm = norms
    found = [made["dm"], made["dentered"], made["dgate_row"]]
    found += [of_project, b_project]
    found += [flat["read"].t() @ flat["rows"], b_first]
    found += [flat["done"].t() @ flat["hidden"], b_second]
    found += [dgate.t() @ flat["shown"], b_gate]
    return [*found, *of_project_norm, gain_read, shift_read, gain, shift]
