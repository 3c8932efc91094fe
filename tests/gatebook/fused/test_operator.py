"""What PyTorch's own tools see of a pass: one node, with the loop's numbers."""

import copy
import io
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from gatebook import GRU, LSTM, reference
from gatebook.fused import operator, ways
from gatebook.gates import GATES, Constant, Gate
from gatebook.recurrence.cells import GRUCore, LSTMCore
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

KINDS = pytest.mark.parametrize("kind", [LSTM, GRU])
SIZES = (7, 3, 5)
CHECKS = "test_schema", "test_autograd_registration", "test_faketensor"


class Watch(TorchDispatchMode):
    """Notes which operators are called."""

    def __init__(self):
        super().__init__()
        self.names = []

    def __torch_dispatch__(self, call, types, args=(), kwargs=None):
        self.names.append(str(call))
        return call(*args, **(kwargs or {}))


def first(result):
    """The outputs and all states, flat."""
    output, states = result
    return [output, *(states if isinstance(states, tuple) else (states,))]


def training(rnn, x):
    """Results and gradients of a training pass; the draws begin anew."""
    rnn, x = copy.deepcopy(rnn), x.clone().requires_grad_()
    results = first(rnn(x))
    total = sum(r.square().sum() for r in results)
    grads = torch.autograd.grad(total, [x, *rnn.parameters()])
    return [*(r.detach() for r in results), *grads]


@KINDS
@pytest.mark.parametrize(
    "options",
    [
        {"gate": "UR", "h_detach": 0.5},
        {"gate": "G2", "c_detach": 0.5},
        {"gate": "OM"},
        {"gate": "LSTM", "num_layers": 2, "bidirectional": True},
    ],
)
def test_a_mode_sees_one_node_with_the_same_numbers(kind, options):
    rnn = kind(5, 16, seed=0, **options)
    if kind is LSTM:
        rnn.zoneout = (0.2, 0.1)
    x = torch.randn(SIZES)
    plain = training(rnn, x)
    with Watch() as watch:
        watched = training(rnn, x)
    assert all(map(torch.equal, plain, watched))
    layers = 4 if "num_layers" in options else 1
    for name in ("gatebook.scan.default", "gatebook.scan_backward.default"):
        assert watch.names.count(name) == layers
    assert not any("sigmoid" in name for name in watch.names)


@KINDS
def test_packed_sequences_pass_as_well(kind):
    rnn = kind(5, 8, gate="UR")
    parts = [torch.randn(n, 5) for n in (4, 7, 1)]
    packed = torch.nn.utils.rnn.pack_sequence(parts, enforce_sorted=False)

    def gradients():
        y = rnn(packed)[0].data
        return [y.detach(), *torch.autograd.grad(y.square().sum(), rnn.parameters())]

    plain = gradients()
    with Watch():
        assert all(map(torch.equal, plain, gradients()))


@pytest.mark.parametrize("gate", sorted(GATES))
@pytest.mark.parametrize("core", [LSTMCore, GRUCore])
def test_words_bring_back_the_core(gate, core):
    given = core(GATES[gate], 10)
    assert operator.core_of(operator.words_of(given, given.words)) == given


def test_words_bring_back_a_gru_without_its_reset_gate():
    given = GRUCore(GATES["UR"], 10, reset="none")
    assert operator.core_of(operator.words_of(given, given.words)) == given


def test_a_gate_that_is_not_known_here_is_named():
    words = operator.words_of(LSTMCore(Gate(), 4), "").replace("Constant", "Elsewhere")
    with pytest.raises(ValueError, match="unknown activation 'Elsewhere'"):
        operator.core_of(words)


class _Odd(Constant):
    """A gate with an operation that has no line of C."""

    def forget(self, pre):
        return pre.erf() / 2 + 0.5


@pytest.mark.parametrize("trained", [True, False])
def test_without_a_kernel_the_node_runs_the_loop(trained):
    rnn, x = LSTM(5, 8, gate=Gate(_Odd()), h_detach=0.5, seed=1), torch.randn(SIZES)
    rnn.train(trained)
    plain = training(rnn, x)
    with Watch() as watch:
        watched = training(rnn, x)
    assert "gatebook.scan_backward.default" in watch.names
    for a, b in zip(plain, watched, strict=True):
        torch.testing.assert_close(a, b)


# --------------------------------------------------------------------------
# Fake tensors and graphs
# --------------------------------------------------------------------------


@KINDS
@pytest.mark.parametrize("gate", ["UR", "G2"])
def test_fake_tensors_have_the_shapes_of_real_ones(kind, gate):
    rnn = kind(5, 8, gate=gate)
    real = training(rnn, torch.randn(SIZES))
    with FakeTensorMode(allow_non_fake_inputs=True):
        fake = training(rnn, torch.randn(SIZES))
    for a, b in zip(real, fake, strict=True):
        assert a.shape == b.shape and a.stride() == b.stride() and a.dtype == b.dtype


@KINDS
def test_the_operator_passes_torchs_own_checks(kind):
    x = torch.randn(SIZES)
    for options in ({"gate": "UR"}, {"gate": "G2", "h_detach": 0.5, "zoneout": 0.2}):
        if kind is LSTM and "zoneout" in options:
            options["zoneout"] = (0.1, 0.2)
        calls = []

        class Note(Watch):
            def __torch_dispatch__(self, call, types, args=(), kwargs=None, to=calls):
                if "scan.default" in str(call):
                    to.append(args)
                return call(*args, **(kwargs or {}))

        with Note():
            kind(5, 8, **options)(x)
        ((*tensors, core, train, zoneout, _),) = calls
        leaves = [
            t.detach().requires_grad_(k < 7) if torch.is_tensor(t) else t
            for k, t in enumerate(tensors)
        ]
        for keep in (True, False):
            torch.library.opcheck(
                torch.ops.gatebook.scan.default,
                (*leaves, core, train, zoneout, keep),
                test_utils=(
                    "test_schema",
                    "test_autograd_registration",
                    "test_faketensor",
                ),
            )


@KINDS
def test_a_traced_graph_gives_the_same_numbers(kind):
    rnn, x = kind(5, 8, gate="UR").eval(), torch.randn(SIZES)
    graph = make_fx(lambda x: rnn(x)[0])(x)
    names = [str(node.target) for node in graph.graph.nodes]
    assert names.count("gatebook.scan.default") == 1
    other = torch.randn(SIZES)
    assert torch.equal(graph(other), rnn(other)[0])


@KINDS
def test_operations_are_counted(kind):
    rnn, x = kind(5, 8), torch.randn(SIZES, requires_grad=True)
    counts = []
    for way in (reference, torch.enable_grad):
        with way(), FlopCounterMode(display=False) as counter:
            y, _ = rnn(x)
        counts.append(counter.get_total_flops())
        with FlopCounterMode(display=False) as counter:
            y.sum().backward()
        counts.append(counter.get_total_flops())
    assert counts[0] == counts[2] > 0 and counts[1] == counts[3] > 0


# --------------------------------------------------------------------------
# Compilers and exporters
# --------------------------------------------------------------------------


LOAD = """
import sys, torch, gatebook
x, expected = torch.load(sys.argv[2])
assert torch.equal(torch.export.load(sys.argv[1]).module()(x)[0], expected)
"""


def test_what_dynamo_follows():
    """In a process without beartype, whose checks Dynamo cannot follow."""
    file = Path(__file__).with_name("dynamo_cases.py")
    command = [sys.executable, "-m", "pytest", "--noconftest", "-q", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-5000:]


@KINDS
def test_an_exported_program_has_one_node_and_any_length(kind, tmp_path):
    rnn, x = kind(5, 8, gate="UR").eval(), torch.randn(SIZES)
    sizes = {0: torch.export.Dim("steps"), 1: torch.export.Dim("batch")}
    program = torch.export.export(
        rnn, (x,), dynamic_shapes={"input": sizes}, strict=False
    )
    names = [str(node.target) for node in program.graph.nodes]
    assert names.count("gatebook.scan.default") == 1
    longer = torch.randn(31, 4, 5)
    expected = rnn(longer)[0]
    assert torch.equal(program.module()(longer)[0], expected)
    torch.export.save(program, tmp_path / "program.pt2")
    torch.save((longer, expected.detach()), tmp_path / "numbers.pt")
    files = [str(tmp_path / name) for name in ("program.pt2", "numbers.pt")]
    subprocess.run([sys.executable, "-c", LOAD, *files], check=True)


def test_an_exported_program_can_be_trained():
    rnn, x = LSTM(5, 8, gate="UR"), torch.randn(SIZES)
    program = torch.export.export(rnn, (x,)).module()
    program(x)[0].square().sum().backward()
    rnn(x)[0].square().sum().backward()
    theirs = dict(program.named_parameters())
    for name, p in rnn.named_parameters():
        assert torch.equal(p.grad, theirs[name].grad)


def test_export_inside_of_reference_has_plain_operations_only():
    rnn, x = LSTM(5, 8, gate="UR").eval(), torch.randn(SIZES)
    with reference():
        program = torch.export.export(rnn, (x,))
    assert not any("gatebook" in str(node.target) for node in program.graph.nodes)
    torch.testing.assert_close(program.module()(x)[0], rnn(x)[0])


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@KINDS
def test_a_jit_trace_can_be_saved_and_serves_any_length(kind):
    rnn, x = kind(5, 8, gate="UR").eval(), torch.randn(SIZES)
    file = io.BytesIO()
    torch.jit.save(torch.jit.trace(rnn, (x,)), file)
    file.seek(0)
    longer = torch.randn(31, 4, 5)
    loaded = torch.jit.load(file)
    assert torch.equal(loaded(torch.randn(7, 3, 5) * 0)[0], rnn(x * 0)[0])
    with torch.no_grad():
        assert torch.equal(loaded(longer[:, :3])[0], rnn(longer[:, :3])[0])


def test_two_graphs_of_a_second_derivative_name_the_loop():
    rnn, x = LSTM(2, 3), torch.randn(4, 1, 2, requires_grad=True)
    with Watch():
        y = rnn(x)[0].sum()
    with pytest.raises(RuntimeError, match="gatebook.reference"):
        torch.autograd.grad(y, x, create_graph=True)


# --------------------------------------------------------------------------
# Transforms
# --------------------------------------------------------------------------


def test_a_node_of_a_graph_can_be_batched():
    rnn, x = LSTM(5, 8, gate="UR").eval(), torch.randn(SIZES)
    graph = make_fx(lambda x: rnn(x)[0])(x)
    many = torch.randn(4, *SIZES)
    found = torch.func.vmap(graph)(many)
    for one, expected in zip(found, many, strict=True):
        torch.testing.assert_close(one, rnn(expected)[0])


@pytest.mark.filterwarnings("ignore:.*jit.script:DeprecationWarning")  # torch's own
@KINDS
def test_forward_mode_goes_through_the_loop(kind):
    rnn, x, v = kind(5, 8, gate="UR").double(), torch.randn(SIZES), torch.randn(SIZES)
    x, v = x.double(), v.double()
    with torch.autograd.forward_ad.dual_level():
        dual = torch.autograd.forward_ad.make_dual(x, v)
        slope = torch.autograd.forward_ad.unpack_dual(rnn(dual)[0]).tangent
    near = (rnn(x + 1e-6 * v)[0] - rnn(x - 1e-6 * v)[0]) / 2e-6
    torch.testing.assert_close(slope, near, atol=1e-7, rtol=1e-6)


# --------------------------------------------------------------------------
# Autocast
# --------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "theirs"), [(LSTM, "LSTM"), (GRU, "GRU")])
@pytest.mark.parametrize("way", [torch.enable_grad, reference])
def test_autocast_gives_the_dtypes_of_torchs_module(kind, theirs, way):
    rnn = kind(5, 8, gate="LSTM0", seed=0)
    x = torch.randn(SIZES, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        expected = first(getattr(torch.nn, theirs)(5, 8)(x))
        with way():
            found = first(rnn(x))
    assert [t.dtype for t in found] == [t.dtype for t in expected]
    for a, b in zip(found, first(rnn(x)), strict=True):
        # Float32 inside: what is left is the rounding of the result.
        torch.testing.assert_close(a, b.to(a.dtype), atol=1e-6, rtol=2**-8)
    found[0].float().sum().backward()
    assert x.grad.dtype == rnn.weight_hh_l0.grad.dtype == torch.float32


def test_autocast_leaves_double_precision_alone():
    rnn, x = LSTM(5, 8).double(), torch.randn(SIZES).double()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(rnn(x)[0], rnn(x)[0]) and rnn(x)[0].dtype == torch.float64


def test_autocast_takes_the_fused_scan(monkeypatch):
    ran, fused = [], ways.fused
    monkeypatch.setattr(ways, "fused", lambda p: ran.append(1) or fused(p))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        LSTM(5, 8)(torch.randn(SIZES))
    assert ran == [1]
