"""The library's scan for a browser: `gatebook.fused.cpu`, compiled to WebAssembly.

The C code is that of a CPU: `gatebook.fused.cpu.build.source` prints a gate's step
into ``kernel.c``. Here another compiler target takes the place of the machine's.
"""

import base64
import functools
import gzip
import os
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from gatebook.files import read_text
from gatebook.fused.cache import NoCompiler, cache_folder, key
from gatebook.fused.cpu import build
from gatebook.fused.cpu.work import FIELDS
from gatebook.fused.trace import UNITS, Options, like, trace
from gatebook.gates import GATES, Gate, Gumbel, Uniform
from gatebook.recurrence.cells import LSTMCore, noise_blocks

EXPORTS = (
    *("forward", "backward", "ready", "outer", "__heap_base"),
    *("entry_size", "recurrent_size", "back_size", "scratch_size"),
)
FLAGS = (
    # Vectors, and copies of memory: what every browser of 2023 and later has.
    *("-target", "wasm32-wasi", "-msimd128", "-mbulk-memory"),
    *("-O3", "-std=gnu11", "-s", "-nostdlib", "-Wl,--no-entry", "-Wl,--gc-sections"),
    *(f"-Wl,--export={name}" for name in EXPORTS),
    # As on a CPU, but for contraction: a browser has no fused multiplication.
    *("-fno-math-errno", "-fno-trapping-math", "-fno-signed-zeros"),
)
HEADERS = ("wasm-wasi-musl", "generic-musl")
"""Folders of ziglang; its library itself is not needed, and takes long to build."""

WITHOUT_LIBRARY = """
#include <sched.h>
#include <stdlib.h>
#include <time.h>
#define FROM_PAGE(name) __attribute__((import_module("page"), import_name(#name)))
void *malloc(size_t size) FROM_PAGE(malloc);
void free(void *at) FROM_PAGE(free);
/* There is one thread, which never waits. */
int sched_yield(void) { return 0; }
int clock_gettime(clockid_t clock, struct timespec *time) { return 0; }
"""


@functools.cache
def compiled(gate: Gate, training: bool) -> bytes:
    """A gate's scan in float32 as a WebAssembly module, from the cache or made.

    Arguments:
        gate: the point of the grid.
        training: whether its noise acts; the module then reads the draws.

    Raises:
        NoCompiler: without the package ``ziglang``, or if it fails.
    """
    file = cache_folder() / f"{_key(gate, training)}.wasm"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _compile(_source(gate, training), file)
    return file.read_bytes()


def _key(gate: Gate, training: bool) -> str:
    """Everything that the module rests on."""
    made_by = read_text(Path(build.__file__)) + build.KERNEL
    words = [repr(gate), str(training), *FLAGS, WITHOUT_LIBRARY, made_by]
    return key(*words, torch.__version__, _compiler())


def _compiler() -> str:
    try:
        return version("ziglang")
    except PackageNotFoundError:
        raise NoCompiler("ziglang is missing; allowed: `pip install ziglang`") from None


def _source(gate: Gate, training: bool) -> str:
    core = like(LSTMCore(gate, UNITS))
    options = Options(noise=training and gate.noise.draws, training=training)
    step = trace(core, options)
    return WITHOUT_LIBRARY + build.source(core, step, options, torch.float32)


def _compile(text: str, file: Path) -> None:
    """Compile aside and move into place, so that no process reads half a file."""
    with tempfile.TemporaryDirectory(dir=file.parent) as folder:
        made = Path(folder) / "scan.wasm"
        command = [sys.executable, "-m", "ziglang", "cc", *FLAGS, *_headers()]
        done = subprocess.run(
            [*command, "-x", "c", "-", "-o", str(made)],
            input=text,
            capture_output=True,
            encoding="utf-8",
        )
        if done.returncode:
            raise NoCompiler(f"{' '.join(command)} failed: {done.stderr[-2000:]}")
        os.replace(made, file)


def _headers() -> list[str]:
    found = find_spec("ziglang")
    assert found is not None and found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "lib" / "libc" / "include"
    return [word for name in HEADERS for word in ("-isystem", str(folder / name))]


def bundle(names: tuple[str, ...]) -> dict[str, Any]:
    """All that ``engine.mjs`` needs to train gates of `GATES`.

    Gates that differ in their start alone share a module.

    Returns:
        ``fields``, the names in ``Pass`` of kernel.c; ``gates``, what each gate is; and
        ``kernels``, base64 of the modules in gzip, by the names that ``gates`` uses.
    """
    kernels: dict[str, str] = {}
    modules: dict[bytes, str] = {}

    def name_of(gate: Gate, training: bool) -> str:
        code = compiled(gate, training)
        name = modules.setdefault(code, f"k{len(modules)}")
        kernels[name] = base64.b64encode(gzip.compress(code, mtime=0)).decode()
        return name

    gates = {
        name: _description(GATES[name])
        | {way: name_of(GATES[name], way == "training") for way in WAYS}
        for name in names
    }
    return {"fields": list(FIELDS), "gates": gates, "kernels": kernels}


WAYS = ("training", "evaluation")


def _description(gate: Gate) -> dict[str, Any]:
    """Blocks, start and noise of a gate, for `start` and `gumbel` of engine.mjs."""
    core, activation = LSTMCore(gate, UNITS), gate.activation
    mirrored = gate.auxiliary.mirrored() if activation.mirrors_input else ()
    noise = None
    if isinstance(gate.noise, Gumbel):
        noise = {"p": gate.noise.p, "eps": gate.noise.eps}
        noise |= {"blocks": len(noise_blocks(core))}
    law = "uniform" if isinstance(activation, Uniform) else "constant"
    start = {"law": law, "bias": activation.bias, "mirrored": list(mirrored)}
    return {"blocks": list(core.blocks()), "start": start, "noise": noise}
