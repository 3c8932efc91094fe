"""The fused scan of GPUs against the reference loop.

Without a GPU, Triton's interpreter runs the kernels on the CPU.
"""

import os
import subprocess
import sys
import weakref
from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from gatebook import GATES, LSTM, fused
from gatebook.fused import ways
from gatebook.fused.cache import NoCompiler
from gatebook.fused.gpu import build as gpu_build
from gatebook.fused.gpu import function as gpu
from gatebook.fused.gpu import loop as gpu_loop
from gatebook.fused.trace import Options, Unprintable
from gatebook.gates import CDetach, Constant, Full, Gate, HDetach
from gatebook.random import Streams
from gatebook.recurrence.cells import GRUCore, LSTMCore
from gatebook.recurrence.scan import Pass, Weights, draw, layer
from gatebook.tasks import Adding
from gatebook.training import Job, Plan, build, fit_together

from .test_equal import GRID, RULES, assert_equal, both

CUDA = torch.cuda.is_available()
DEVICE = "cuda" if CUDA else "cpu"
pytest.importorskip("triton", reason="`pip install triton` tests the GPU's code")

CORES = pytest.mark.parametrize("core", [LSTMCore, GRUCore])
SIZES = (4, 3, 2, 6)


@pytest.fixture(autouse=True)
def fresh(monkeypatch):
    """No arrays from another test."""
    monkeypatch.setattr(gpu, "loops", gpu_loop.Loops())


def scan(core, x, weights, h, c, draws=None, alive=None, zoneout=(0.0, 0.0)):
    """The fused scan of GPUs, whatever `dispatch` would choose."""
    return gpu.run_many([Pass(core, x, weights, h, c, draws, alive, zoneout)])[0]


def check(core, sizes=SIZES, limit=1e-10, **options):
    assert_equal(both(core, sizes, fused=scan, device=DEVICE, **options), limit)


@CORES
@pytest.mark.parametrize("name", GRID)
def test_every_gate(name, core):
    check(core(GRID[name], 6))


@CORES
@pytest.mark.parametrize("name", ["LSTM", "UR and noise", "OM"])
@pytest.mark.parametrize("rule", RULES[1:])
def test_every_gradient_rule(name, core, rule):
    check(core(replace(GRID[name], gradient=rule), 6))


@CORES
@pytest.mark.parametrize("name", ["LSTM", "UR and noise", "OM"])
def test_zoneout_ended_sequences_and_evaluation(name, core):
    made = core(replace(GRID[name], gradient=HDetach(0.5)), 6)
    check(made, zoneout=(0.3, 0.2))
    check(made, ends=[4, 1, 2])
    check(made, zoneout=(0.3, 0.2), train=False)
    check(made, zoneout=(0.5, 0.0), ends=[2, 4, 1])


@CORES
@pytest.mark.parametrize("name", ["UR", "O"])
@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (2, 5, 3, 33), (2, 1, 9, 300)])
def test_odd_sizes(name, core, sizes):
    check(core(GRID[name], sizes[-1]), sizes)


@pytest.mark.parametrize("name", ["LSTM", "UR", "G2", "O"])
def test_float32_is_as_near_to_float64_as_the_loop_is(name):
    check(LSTMCore(GRID[name], 32), (20, 3, 5, 32), 2e-5, dtype=torch.float32)


@CORES
@pytest.mark.parametrize("biases", [(False, False), (True, False), (False, True)])
def test_a_bias_that_is_not_there(core, biases):
    made = core(GATES["LSTM0"], 3)
    rows = sum(made.blocks().values())

    def leaf(*shape):
        return torch.randn(*shape, dtype=torch.float64, device=DEVICE).requires_grad_()

    own = [leaf(rows) if bias else None for bias in biases]
    x, h = leaf(4, 2, 3), leaf(2, 3)
    weights = Weights(leaf(rows, 3), leaf(rows, 3), *own)
    leaves = [x, h, *(w for w in weights.all() if w is not None)]
    found = [
        torch.autograd.grad(way(made, x, weights, h, h)[0].square().sum(), leaves)
        for way in (layer, scan)
    ]
    assert_equal(found, 1e-10)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, in the interpreter
def test_large_inputs_saturate_and_a_nan_comes_through():
    values = torch.tensor([1e4, -1e4, 1e30, torch.nan, 0.0], device=DEVICE)
    for name in ("UR", "O"):
        loop, ours = results(LSTM(1, 4, gate=name), values.view(5, 1, 1))
        torch.testing.assert_close(ours, loop, equal_nan=True)
        assert ours[3:].isnan().all() and ours[:3].isfinite().all()


def results(rnn, x):
    """Outputs of the loop and of the GPU's scan for a module's weights."""
    rnn = rnn.to(DEVICE)
    state = x.new_zeros(x.shape[1], rnn.hidden_size)
    with torch.no_grad():
        ways = (layer, scan)
        return [w(rnn.core, x, rnn._weights("l0"), state, state)[0] for w in ways]


# --------------------------------------------------------------------------
# Arrays that are used again
# --------------------------------------------------------------------------


class Passes:
    """Passes of one shape, each with new draws and, if asked for, new weights."""

    def __init__(self, gate):
        self.core = LSTMCore(gate, 5)
        self.streams = Streams(0)
        shapes = ((4, 2, 3), (20, 3), (20, 5), (20,), (20,), (2, 5), (2, 5))
        self.leaves = [
            torch.randn(*s, dtype=torch.float64, device=DEVICE).requires_grad_()
            for s in shapes
        ]

    def change(self):
        with torch.no_grad():
            for leaf in self.leaves:
                leaf.add_(torch.randn_like(leaf))

    def forward(self):
        """The sum that each way differentiates, the loop's first."""
        x, *weights = self.leaves
        draws = draw(self.core, x, (0.2, 0.2), self.streams)
        for way in (layer, scan):
            y, h, c = way(
                self.core, x, Weights(*weights[:4]), *weights[4:], draws=draws
            )
            yield y.square().sum() + h.sum() + c.sum()

    def gradients(self, total, **options):
        return torch.autograd.grad(total, self.leaves, **options)


NOISY = replace(GRID["UR and noise"], gradient=HDetach(0.5))


def test_new_draws_and_weights_in_the_same_arrays():
    passes = Passes(NOISY)
    for _ in range(4):
        assert_equal([passes.gradients(total) for total in passes.forward()], 1e-10)
        (loop,) = gpu.loops.free
        places = {k: v.data_ptr() for k, v in vars(loop).items() if torch.is_tensor(v)}
        assert places == vars(passes).setdefault("places", places)
        passes.change()


def test_two_passes_at_once_have_arrays_of_their_own():
    passes = Passes(NOISY)
    pending = [tuple(passes.forward()) for _ in range(2)]
    for pair in pending:
        assert_equal([passes.gradients(total) for total in pair], 1e-10)
    assert len(gpu.loops.free) == 2


def test_a_retained_graph_gives_the_same_gradient_again():
    passes = Passes(NOISY)
    _, total = passes.forward()
    first = passes.gradients(total, retain_graph=True)
    tuple(passes.forward())  # uses the arrays in between
    assert all(map(torch.equal, passes.gradients(total), first))


def test_arrays_come_back_without_a_backward_pass():
    passes = Passes(NOISY)
    with torch.no_grad():
        tuple(passes.forward())
    assert len(gpu.loops.free) == 1
    totals = tuple(passes.forward())
    assert len(gpu.loops.free) == 0
    del totals
    assert len(gpu.loops.free) == 1


def test_arrays_that_wait_are_few():
    gpu.loops.most = 2
    passes = Passes(GATES["LSTM"])
    pending = [tuple(passes.forward()) for _ in range(4)]
    held = [weakref.ref(loop) for loop in collected(pending)]
    assert len(gpu.loops.free) == 2
    assert [loop() is None for loop in held] == [True, True, False, False]


def collected(pending):
    """The loops of passes that are dropped here, in the order in which they come."""
    seen = []
    while pending:
        pending.pop(0)
        seen.append(gpu.loops.free[-1])
    return seen


def test_gradient_rules_share_their_arrays():
    for rule in (Full(), HDetach(0.5), HDetach(0.1, "example")):
        tuple(Passes(replace(GATES["LSTM"], gradient=rule)).forward())
    assert len(gpu.loops.free) == 1


class Graph:
    """In the place of `torch.cuda.CUDAGraph`."""

    def __init__(self):
        self.replays = 0

    def replay(self):
        self.replays += 1


def test_the_first_run_is_direct_the_second_recorded_and_all_later_replayed(
    monkeypatch,
):
    ran = []
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", lambda graph, **_: nullcontext())
    work = gpu_loop.Recorded()
    counts = []
    for _ in range(4):
        work.run(lambda: ran.append(1), torch.device("cuda"))
        counts.append((len(ran), work.graph.replays if work.graph else 0))
    assert counts == [(1, 0), (2, 1), (2, 2), (2, 3)]


# --------------------------------------------------------------------------
# Many models at once
# --------------------------------------------------------------------------


def models(core, gates):
    """Passes of small models, one a gate, each with its own weights and draws."""
    made = []
    for seed, gate in enumerate(gates):
        own, generator = core(gate, 4), torch.Generator().manual_seed(seed)
        rows = sum(own.blocks().values())
        shapes = ((5, 3, 2), (rows, 2), (rows, 4), (rows,), (rows,), (3, 4), (3, 4))
        x, ih, hh, b, d, h, c = (
            torch.randn(*s, dtype=torch.float64, generator=generator)
            .to(DEVICE)
            .requires_grad_()
            for s in shapes
        )
        c = h if own.tied else c
        draws = draw(own, x, (0.2, 0.3), Streams(seed))
        alive = torch.rand(5, 3, generator=generator).to(DEVICE) < 0.8
        weights = Weights(ih, hh, b, d)
        made.append(Pass(own, x, weights, h, c, draws, alive, (0.2, 0.3)))
    return made


def alone(way, one):
    options = {"draws": one.draws, "alive": one.alive, "zoneout": one.zoneout}
    return way(one.core, one.x, one.weights, one.h, one.c, **options)


@CORES
def test_many_models_at_once_are_equal_to_one_after_the_other(core):
    rules = (HDetach(0.5), CDetach(0.5, "example"), Full())
    names = ("LSTM", "U", "LSTM0")  # one step, but for how they are initialised
    gates = [replace(GATES[n], gradient=r) for n, r in zip(names, rules, strict=True)]
    passes = models(core, gates)
    for one, many in zip(passes, gpu.run_many(passes), strict=True):
        leaves = [one.x, *one.weights.all(), one.h, one.c][: 6 if core.tied else 7]
        found = []
        for results in (alone(layer, one), many):
            total = sum(r.square().sum() for r in results)
            grads = torch.autograd.grad(total, leaves, retain_graph=True)
            found.append([*results, *grads])
        assert_equal(found, 1e-10)


def test_one_backward_pass_serves_all_models():
    passes = models(LSTMCore, [GRID["UR and noise"]] * 3)
    weights = [p.weights.hh for p in passes]
    outputs = [y.square().sum() for y, _, _ in gpu.run_many(passes)]
    together = torch.autograd.grad(sum(outputs), weights)
    each = [
        torch.autograd.grad(alone(layer, p)[0].square().sum(), w)[0]
        for p, w in zip(passes, weights, strict=True)
    ]
    assert_equal([together, each], 1e-10)


def test_models_that_need_different_kernels_are_refused():
    with pytest.raises(ValueError, match="allowed: models with the same step"):
        gpu.run_many(models(LSTMCore, [GATES["LSTM"], GATES["UR"]]))


def test_models_are_sorted_by_the_step_that_they_share():
    names = ("LSTM", "UR", "C", "R", "LSTM")
    passes = models(LSTMCore, [GATES[name] for name in names])
    passes[4] = replace(passes[4], x=passes[4].x[:3], alive=passes[4].alive[:3])
    assert ways.alike(passes) == [[0, 2], [1, 3], [4]]


# --------------------------------------------------------------------------
# Which way is taken
# --------------------------------------------------------------------------


class _Odd(Constant):
    """A gate with an operation that has no line."""

    def forget(self, pre):
        return pre.erf() / 2 + 0.5


def test_what_cannot_be_printed_is_refused():
    with pytest.raises(Unprintable, match="erf"):
        gpu_build.kernel(LSTMCore(Gate(_Odd()), 4), Options())


@pytest.mark.parametrize(
    ("place", "name", "word"),
    [
        (gpu_build.importlib.util, "find_spec", "pip install triton"),
        (gpu_build.shutil, "which", "install gcc or clang"),
    ],
)
def test_what_is_missing_is_named(monkeypatch, place, name, word):
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setattr(place, name, lambda _: None)
    gpu_build._kernel.cache_clear()
    with pytest.raises(NoCompiler, match=word):
        gpu_build.kernel(LSTMCore(GATES["LSTM"], 4), Options())
    gpu_build._kernel.cache_clear()


def test_a_cpu_does_without():
    code = "import gatebook, torch, sys; assert 'triton' not in sys.modules; "
    code += "gatebook.LSTM(2, 3)(torch.zeros(4, 1, 2)); "
    code += "assert 'gatebook.fused.gpu.function' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


COMPILE = """
import re

import triton
from gatebook.recurrence.cells import GRUCore, LSTMCore
from gatebook.fused.gpu import build as gpu_build
from gatebook.fused.trace import Options
from gatebook.gates import GATES
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

kinds = {"BLOCK": "constexpr"} | dict.fromkeys("tTBH", "i32")
kinds |= dict.fromkeys(("keep_h_", "keep_c_", "alive_", "sees_h_", "sees_c_"), "*u8")
everything = Options(noise=True, keep_h=True, keep_c=True, alive=True)
evaluation = Options(training=False, zoneout=(0.0, 0.1))
for core, gate, given, real in (
    (LSTMCore, "G2", everything, "*fp64"),
    (GRUCore, "OM", evaluation, "*fp32"),
):
    made = gpu_build.kernel(core(GATES[gate], 64), given).module
    for step in (made.forward, made.backward):
        signature = {name: kinds.get(name, real) for name in step.arg_names}
        source = ASTSource(step, signature, constexprs={"BLOCK": 256})
        found = triton.compile(source, target=GPUTarget("cuda", 90, 32))
        assert "cubin" in found.asm
        # Nothing is computed, and no constant kept, in the other precision.
        other = {"*fp32": "f64", "*fp64": "f32"}[real]
        assert not re.search(rf"\\b{other}\\b", found.asm["ttir"])
"""


def test_the_kernels_compile_for_a_gpu_that_is_not_here(tmp_path):
    kept = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"}
    kept |= {"TRITON_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", COMPILE]
    done = subprocess.run(command, env=kept, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not CUDA, reason="needs a GPU")
@pytest.mark.parametrize("name", ["LSTM", "UR and noise", "OM"])
def test_a_recorded_graph_serves_new_draws_and_weights(name):
    passes = Passes(replace(GRID[name], gradient=HDetach(0.5)))
    for _ in range(5):
        assert_equal([passes.gradients(total) for total in passes.forward()], 1e-10)
        passes.change()
    (loop,) = gpu.loops.free
    assert all(recorded.graph is not None for recorded in loop.recorded.values())


@pytest.mark.skipif(not CUDA, reason="needs a GPU")
def test_a_module_on_a_gpu_takes_it_by_itself():
    rnn = LSTM(3, 5, num_layers=2, bidirectional=True, gate="UR", device="cuda")
    x = torch.randn(4, 2, 3, device="cuda")
    state = x.new_zeros(2, 5)
    assert fused.applies(Pass(rnn.core, x, rnn._weights("l0"), state, state))
    for _ in range(4):
        y, _ = rnn(x)
        with fused.reference():
            torch.testing.assert_close(y, rnn(x)[0], atol=1e-5, rtol=1e-4)


@pytest.mark.skipif(not CUDA, reason="needs a GPU")
def test_models_trained_together_on_a_gpu_have_the_numbers_of_each_alone():
    def jobs():
        made = []
        for seed, gate in enumerate(("UR", "R", "LSTM", "C")):
            task = Adding(20, batch_size=8, seed=seed, validation_size=8)
            model = build(task, LSTM, 16, seed, gate=gate, h_detach=0.25).cuda()
            made.append(Job(model, task, Plan(20, 1e-3, evaluate_every=5)))
        return made

    alone = [fit_together([job])[0] for job in jobs()]
    for a, b in zip(alone, fit_together(jobs()), strict=True):
        assert a.curves["loss"] == pytest.approx(b.curves["loss"], rel=1e-3)
