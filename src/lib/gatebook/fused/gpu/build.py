"""Put a step into ``kernel.triton``, once for each gate."""

import functools
import hashlib
import importlib.util
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from gatebook.files import write_atomic
from gatebook.fused.cache import NoCompiler, cache_folder
from gatebook.fused.trace import (
    Options,
    Program,
    Step,
    Unprintable,
    downsize,
    like,
    trace,
)
from gatebook.recurrence.cells import Core, noise_blocks


@dataclass(frozen=True)
class Kernel:
    """A step's two kernels, and what the arrays must look like for them."""

    module: ModuleType
    apart: tuple[int, ...]
    blocks: int
    whole_rows: bool


def kernel(core: Core, options: Options) -> Kernel:
    """The step of a core; it serves every size, precision and gradient rule.

    Raises:
        Unprintable: if the gate is not pointwise.
        NoCompiler: if Triton is missing, or what it needs.
    """
    made = _kernel(like(core), options)
    if isinstance(made, Exception):
        raise made
    return made


@functools.cache
def _kernel(core: Core, options: Options) -> Kernel | Unprintable | NoCompiler:
    """The kernel, or why there is none: what failed once is not tried again."""
    if importlib.util.find_spec("triton") is None:
        return NoCompiler("no Triton; `pip install triton`")
    if not has_compiler():
        return NoCompiler("no C compiler, which Triton needs; install gcc or clang")
    try:
        step = trace(core, options)
    except Unprintable as error:
        return error
    blocks = len(core.blocks()) + len(step.apart)
    whole = any(stage.kind == "cumax" for stage in step.stages)
    return Kernel(module_of(source(core, step, options)), step.apart, blocks, whole)


def source(core: Core, step: Step, options: Options) -> str:
    """``kernel.triton`` with the step put in."""
    noises = len(noise_blocks(core)) if options.noise else 0
    parts = {
        "settings": [
            f"G = tl.constexpr({len(core.blocks()) + len(step.apart)})",
            f"N = tl.constexpr({noises})",
            f"FEW = tl.constexpr({downsize(core.gate)})",
        ],
        "entry": [*step.entry.lines, f"return {step.entry.results[0][0]}"],
        "leave": [*step.leave.lines, f"return {step.leave.results[0][0]}"],
        "read": _reads(core, step, options),
        "forward": step.forward.lines,
        "store": _stores(step.forward, core, options),
        "backward": step.backward.lines,
        "gradients": _gradients(core, step, options),
    }
    text = (Path(__file__).parent / "kernel.triton").read_text(encoding="utf-8")
    for mark, lines in parts.items():
        indent = "" if mark == "settings" else "    "
        text = text.replace(f"# FILL {mark}\n", f"\n{indent}".join(lines) + "\n")
    return text.replace("real_(", "(")


def has_compiler() -> bool:
    """Whether there is the C compiler that Triton needs."""
    return bool(os.environ.get("CC") or shutil.which("gcc") or shutil.which("clang"))


@functools.cache
def module_of(text: str) -> ModuleType:
    """Import ``text`` from the cache folder; Triton reads its source from a file."""
    name = f"step_{hashlib.sha256(text.encode()).hexdigest()[:32]}"
    file = cache_folder() / f"{name}.py"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_atomic(file, text.encode())
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _reads(core: Core, step: Step, options: Options) -> list[str]:
    """Load what a step reads, and activate the staged blocks."""
    names, noisy = list(core.blocks()), list(noise_blocks(core))
    lines = [_load(f"x{k}", f"x_ + {k} * H") for k in range(len(names))]
    for place, k in enumerate(step.apart, len(names)):
        lines.append(_load(f"rec{k}", f"x_ + {place} * H"))
    if options.noise:
        lines += [_load(f"noise{k}", f"n_ + {k} * H") for k in range(len(noisy))]
    lines += [_load("h0", "hs_ + before"), _load("c0", "cs_ + before"), "read0 = c0"]
    for name in ("keep_h", "keep_c"):
        if getattr(options, name):
            lines.append(_load(f"{name}0", f"{name}_ + at") + " != 0")
    lines += ["alive0 = tl.load(alive_ + row) != 0"] if options.alive else []
    for stage in step.stages:
        k = stage.block
        noise = f"noise{noisy.index(names[k])}" if options.noise else "0"
        lines += [f"raw{k}, own{k} = x{k}, {noise}", f"x{k} = enter(raw{k}, own{k})"]
        if stage.kind == "cumax":
            lines += [f"soft{k} = softmax_(x{k}, first)", f"x{k} = cumax_(soft{k})"]
        else:
            lines += [f"x{k} = sigmoid_(x{k})"]
    return lines


def _load(name: str, place: str) -> str:
    return f"{name} = tl.load({place}, here, 0)"


def _store(place: str, value: str) -> str:
    return f"tl.store({place}, {value}, here)"


def _stores(program: Program, core: Core, options: Options) -> list[str]:
    names = [result[0] for result in program.results]
    places = ("out_ + at", "hs_ + after", "cs_ + after")
    lines = [_store(p, n) for p, n in zip(places, names, strict=False)]
    return lines if options.alive else lines[1:]  # else the output is h itself


def _gradients(core: Core, step: Step, options: Options) -> list[str]:
    """Where the results of the backward step go; see `trace.trace` for their order."""
    x, rec, (h,), (c,), (read,) = step.backward.results[:5]
    kinds = {stage.block: stage.kind for stage in step.stages}
    lines = []
    for k, name in enumerate(x):
        if kinds.get(k) == "cumax":
            name = f"leave(cumax_back_({name}, soft{k}, here), raw{k}, own{k})"
        elif k in kinds:
            name = f"leave(({name}) * x{k} * (1 - x{k}), raw{k}, own{k})"
        lines.append(_store(f"x_ + {k} * H", name))
    for place, k in enumerate(step.apart, len(x)):
        lines.append(_store(f"x_ + {place} * H", rec[k]))
    seen = f"where_(sees, {read}, 0.0)"
    if core.tied:  # one state: what its two readers send back is added up
        return [*lines, _store("dh_ + one", f"{h} + {c} + {seen}")]
    return [*lines, _store("dh_ + one", h), _store("dc_ + one", f"{c} + {seen}")]
