"""Compile a step into `kernel.c`, once for each gate, precision and machine.

The compiler is the system's (``CC``, cc, gcc or clang), else the one of the pip
package ``ziglang``. What was compiled is kept in the user's cache folder.
"""

import ctypes
import functools
import importlib.util
import os
import platform
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from gatebook.fused.cache import NoCompiler, cache_folder, key
from gatebook.fused.trace import Options, Program, Step, Unprintable, like, trace
from gatebook.recurrence.cells import AnyCore, noise_blocks

# Read now: the file may be exchanged under a running program, and its Python not.
KERNEL = (Path(__file__).parent / "kernel.c").read_text(encoding="utf-8")
FLAGS = (
    "-O3",
    "-std=gnu11",
    "-shared",
    "-fPIC",
    # What -ffast-math would bring, without its licence to ignore NaN.
    "-fno-math-errno",
    "-fno-trapping-math",
    "-fno-signed-zeros",
    "-ffp-contract=fast",
)


def section(title: str) -> str:
    """The part of kernel.c below the heading ``title``, for other C that needs it."""
    return KERNEL.split(f"/* ---- {title} ")[1].split("\n", 1)[1].split("/* ---- ")[0]


@functools.cache
def compiler() -> tuple[str, ...]:
    """The command that compiles C.

    Raises:
        NoCompiler: if there is none.
    """
    if chosen := os.environ.get("CC"):
        # A path with spaces, or a command with options, quoted as for a shell.
        words = [chosen] if Path(chosen).is_file() else shlex.split(chosen)
        return (*words, "-march=native")
    for name in ("cc", "gcc", "clang"):
        if found := shutil.which(name):
            return (found, "-march=native")
    if importlib.util.find_spec("ziglang"):
        return (sys.executable, "-m", "ziglang", "cc", "-mcpu=native")
    raise NoCompiler("no C compiler; install one, or `pip install ziglang`")


@dataclass(frozen=True)
class Kernel:
    """A compiled step, and how the blocks of its recurrent weight are grouped."""

    code: ctypes.CDLL
    runs: tuple[tuple[int, int, int], ...]
    apart: tuple[int, ...]


def kernel(core: AnyCore, options: Options, dtype: torch.dtype) -> Kernel:
    """The compiled step of a core, from the cache or made now.

    The code serves every hidden size and every gradient rule.

    Raises:
        Unprintable: if the gate is not pointwise.
        NoCompiler: if it cannot be compiled here.
    """
    made = _kernel(like(core), options, dtype)
    if isinstance(made, Exception):
        raise made
    return made


@functools.cache
def _kernel(
    core: AnyCore, options: Options, dtype: torch.dtype
) -> Kernel | Unprintable | NoCompiler:
    """The kernel, or why there is none: what failed once is not tried again."""
    try:
        return _load(core, options, dtype)
    except (Unprintable, NoCompiler) as error:
        return error


def _load(core: AnyCore, options: Options, dtype: torch.dtype) -> Kernel:
    name = f"{_key(core, options, dtype)}.so"
    file = Path(name)
    try:
        file = cache_folder().resolve() / name  # one without a slash is searched for
        if not file.exists():
            compile_to(source(core, trace(core, options), options, dtype), file)
        return _opened(file)
    except (OSError, AttributeError, ValueError) as error:
        raise NoCompiler(f"{file} cannot be made or loaded: {error}") from error


_SIZES = {
    "panels_size": 2,
    "scratch_size": 1,
    "entry_size": 2,
    "recurrent_size": 1,
    "back_size": 1,
}
"""Functions of kernel.c that return a size, and how many they take."""


def _opened(file: Path) -> Kernel:
    """The compiled file in this process.

    Raises:
        OSError: if it cannot be loaded.
        AttributeError: if it lacks a function.
        ValueError: if it lacks a table.
    """
    code = ctypes.CDLL(str(file))
    size, at = ctypes.c_size_t, ctypes.c_void_p
    for name, count in _SIZES.items():
        getattr(code, name).restype = size
        getattr(code, name).argtypes = [size] * count
    code.pack.argtypes = [at, size, size, at, size, size]
    code.pack.restype = None
    count = ctypes.c_int.in_dll(code, "run_count").value
    table = (ctypes.c_int * 3 * count).in_dll(code, "RUNS")
    runs = tuple((row[0], row[1], row[2]) for row in table)
    return Kernel(code, runs, tuple(row[0] for row in runs if row[2] >= 0))


def _key(core: AnyCore, options: Options, dtype: torch.dtype) -> str:
    """Everything that the machine code rests on."""
    text = KERNEL + getattr(core, "more_c", "")
    return key_of(repr(core), repr(options), str(dtype), text)


def key_of(*words: str) -> str:
    """A name for machine code that rests on ``words``, made here and now."""
    words += (*compiler(), *FLAGS, torch.__version__, _processor())
    return key(*words, Path(__file__).read_text(encoding="utf-8"))


@functools.cache
def _processor() -> str:
    """What the processor can do; code made for another one may not run here."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line for line in lines if line.startswith(("flags", "Features")))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def compile_to(text: str, file: Path, *flags: str) -> None:
    """Compile aside and move into place, so that no process reads half a file.

    Arguments:
        text: the C.
        file: where the library goes.
        flags: for the compiler, besides `FLAGS`; of two that differ the last counts.
    """
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / "step.so"
        command = [*compiler(), *FLAGS, "-x", "c", "-", "-o", str(made), *flags]
        try:
            done = subprocess.run(
                command,
                input=text,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise NoCompiler(f"the C compiler cannot be run: {error}") from error
        if done.returncode:
            raise NoCompiler(f"{' '.join(compiler())} failed: {done.stderr[-2000:]}")
        os.replace(made, file)


def source(core: AnyCore, step: Step, options: Options, dtype: torch.dtype) -> str:
    """`kernel.c`, and what a core adds to it, with the step put in."""
    text = KERNEL + getattr(core, "more_c", "")
    parts = {
        "settings": _settings(core, step, options, dtype),
        "forward": [
            *_reads(step, options, core),
            *_c(step.forward),
            *_stores(step, options),
        ],
        "backward": [
            *_reads(step, options, core),
            "const real dout = dout_[j], dh = dh_[j];",
            "const real dc = dc_[j];" if not core.tied else "",
            *_c(step.backward),
            *_gradients(core, step),
        ],
        "entry": [*_c(step.entry), f"real y = {step.entry.results[0][0]};"],
        "leave": [*_c(step.leave), f"real d = {step.leave.results[0][0]};"],
    }
    for mark, lines in parts.items():
        text = text.replace(f"/* FILL {mark} */", "\n".join(lines))
    return text


def _c(program: Program) -> list[str]:
    return [f"real {line};" for line in program.lines]


def _settings(
    core: AnyCore, step: Step, options: Options, dtype: torch.dtype
) -> list[str]:
    double = dtype == torch.float64
    runs = list(_runs(len(core.blocks()), step.apart))
    table = ", ".join(f"{{{a}, {b}, {c}}}" for a, b, c in runs)
    few = _downsizes(core, step)
    stages = ", ".join(f"{{{s.block}, {int(s.kind == 'cumax')}}}" for s in step.stages)
    noises = [str(list(core.blocks()).index(name)) for name in noise_blocks(core)]
    return [
        f"typedef {'double' if double else 'float'} real;",
        f"#define DOUBLE {int(double)}",
        f"#define BLOCKS {len(core.blocks())}",
        f"#define APART {len(step.apart)}",
        f"#define NOISES {len(noise_blocks(core)) if options.noise else 0}",
        f"#define TIED {int(core.tied)}",
        f"#define ALIVE {int(options.alive)}",
        f"#define RUN_COUNT {len(runs)}",
        f"#define STAGE_COUNT {len(step.stages)}",
        f"static const int FEW[] = {{{', '.join(map(str, few))}}};",
        f"static const struct {{int block, cumax;}} STAGES[] = {{{stages or '{0}'}}};",
        f"static const int NOISY[] = {{{', '.join(noises)}}};",
        f"const int run_count = {len(runs)};",
        f"const struct {{int block, blocks, apart;}} RUNS[] = {{{table}}};",
    ]


def _downsizes(core: AnyCore, step: Step) -> list[int]:
    """How many units share a value of each block."""
    few = {stage.block: stage.downsize for stage in step.stages}
    return [few.get(k, 1) for k in range(len(core.blocks()))]


def _runs(blocks: int, apart: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """Neighbouring blocks that one product serves: (first, number, place apart)."""
    start = 0
    for k in range(blocks + 1):
        if k == blocks or k in apart:
            if k > start:
                yield start, k - start, -1
            if k < blocks:
                yield k, 1, apart.index(k)
            start = k + 1


def _reads(step: Step, options: Options, core: AnyCore) -> list[str]:
    staged = {stage.block: i for i, stage in enumerate(step.stages)}
    lines = [
        f"const real x{k} = s_[{staged[k]} * H + j];"
        if k in staged
        else f"const real x{k} = x_[at[{k}] + j];"
        for k in range(len(core.blocks()))
    ]
    lines += [
        f"const real rec{k} = r_[{place} * H + j];"
        for place, k in enumerate(step.apart)
    ]
    if options.noise:
        names = list(core.blocks())
        lines += [
            f"const real noise{k} = n_[nat[{k}] + j];"
            for k, name in enumerate(noise_blocks(core))
            if names.index(name) not in staged
        ]
    lines += ["const real h0 = h_[j], c0 = c_[j], read0 = c0;"]
    lines += ["const int keep_h0 = kh_[j];"] if options.keep_h else []
    lines += ["const int keep_c0 = kc_[j];"] if options.keep_c else []
    return lines


def _stores(step: Step, options: Options) -> list[str]:
    names = [r[0] for r in step.forward.results]
    targets = ("out_[j]", "hn_[j]", "cn_[j]")
    lines = [f"{t} = {n};" for t, n in zip(targets, names, strict=False)]
    return lines if options.alive else lines[1:]  # else the output is h itself


def _gradients(core: AnyCore, step: Step) -> list[str]:
    """Where the results of the backward step go; see `trace.trace` for their order."""
    x, rec, (h,), (c,), (read,) = step.backward.results[:5]
    staged = {stage.block: i for i, stage in enumerate(step.stages)}
    lines = [
        f"ds_[{staged[k]} * H + j] = {name};"
        if k in staged
        else f"x_[at[{k}] + j] = {name};"
        for k, name in enumerate(x)
    ]
    lines += [f"r_[{i} * H + j] = {rec[k]};" for i, k in enumerate(step.apart)]
    if core.tied:  # one state: what its two readers send back is added up
        return [*lines, f"dh_[j] = {h} + {c} + sees * ({read});"]
    return [*lines, f"dh_[j] = {h};", f"dc_[j] = {c} + sees * ({read});"]
