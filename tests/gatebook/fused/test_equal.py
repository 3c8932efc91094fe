"""The fused scan against the reference loop: outputs, states and every gradient."""

import weakref
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
import torch
from gatebook import GRU, LSTM, reference
from gatebook.fused import applies
from gatebook.fused.cpu import function as cpu
from gatebook.fused.cpu import threads as crews
from gatebook.gates import (
    GATES,
    CDetach,
    Full,
    Gate,
    Gumbel,
    HDetach,
    Master,
    Ordered,
    Refine,
    Sharpened,
    Uniform,
)
from gatebook.random import Streams
from gatebook.recurrence.cells import GRUCore, LSTMCore
from gatebook.recurrence.scan import Pass, Weights, draw, layer
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import kstest
from torch import Generator, nn

GRID = {name: gate for name, gate in GATES.items() if name not in ("OM", "UM")}
GRID |= {
    "OM": Gate(Ordered(), Master(downsize=2)),
    "UM": Gate(Uniform(), Master(downsize=2)),
    "UR and noise": Gate(Uniform(), Refine(), Gumbel(tau=0.5, p=0.6)),
    "OR and noise": Gate(Ordered(), Refine(), Gumbel()),
    "UM and noise": Gate(Uniform(), Master(downsize=2), Gumbel(p=1.0)),
    "O sharpened": Gate(Ordered(), noise=Sharpened(0.5)),
}
RULES = (
    Full(),
    HDetach(0.5),
    CDetach(0.5),
    HDetach(0.5, "example"),
    CDetach(0.4, "example"),
    HDetach(1.0),
)


def scan(core, x, weights, h, c, draws=None, alive=None, zoneout=(0.0, 0.0)):
    """The fused scan of CPUs, whatever `dispatch` would choose."""
    return cpu.run(Pass(core, x, weights, h, c, draws, alive, zoneout))


def both(
    core,
    sizes,
    dtype=torch.float64,
    zoneout=(0.0, 0.0),
    ends=None,
    train=True,
    fused=scan,
    device="cpu",
):
    """Outputs, last states and gradients of the loop and of the fused scan."""
    steps, batch, features, units = sizes
    rows = sum(core.blocks().values())

    def leaf(*shape):
        return (torch.randn(*shape, dtype=dtype, device=device) * 0.4).requires_grad_()

    x, h, c = leaf(steps, batch, features), leaf(batch, units), leaf(batch, units)
    weights = Weights(leaf(rows, features), leaf(rows, units), leaf(rows), leaf(rows))
    c = h if core.tied else c
    alive = None
    if ends is not None:
        alive = torch.arange(steps)[:, None] < torch.tensor(ends)[None]
        alive = alive.to(device)
    options = {
        "draws": draw(core, x, zoneout, Streams(0)) if train else None,
        "alive": alive,
        "zoneout": zoneout,
    }
    leaves = [x, *weights.all(), h] + ([] if core.tied else [c])
    seeds = [torch.randn(steps, batch, units, dtype=dtype)]
    seeds += [torch.randn(batch, units, dtype=dtype) for _ in range(2)]
    seeds = [seed.to(device) for seed in seeds]
    found = []
    for way in (layer, fused):
        results = way(core, x, weights, h, c, **options)
        total = sum((a * s).sum() for a, s in zip(results, seeds, strict=True))
        grads = torch.autograd.grad(
            total, leaves, allow_unused=True, materialize_grads=True
        )
        found.append([*(r.detach() for r in results), *grads])
    return found


def assert_equal(found, limit):
    for ours, loops in zip(*found, strict=True):
        gap = (ours - loops).abs().max() / (1 + loops.abs().max())
        assert gap < limit


@pytest.mark.parametrize("core", [LSTMCore, GRUCore])
@pytest.mark.parametrize("name", GRID)
def test_every_gate_and_gradient_rule(name, core):
    for rule in RULES:
        made = core(replace(GRID[name], gradient=rule), 6)
        assert_equal(both(made, (5, 4, 3, 6)), 1e-10)


@pytest.mark.parametrize("core", [LSTMCore, GRUCore])
@pytest.mark.parametrize("name", ["LSTM", "UR", "OM", "UR and noise"])
def test_zoneout_ended_sequences_and_evaluation(name, core):
    made, sizes = core(GRID[name], 6), (5, 4, 3, 6)
    assert_equal(both(made, sizes, zoneout=(0.3, 0.2)), 1e-10)
    assert_equal(both(made, sizes, ends=[5, 1, 3, 2]), 1e-10)
    assert_equal(both(made, sizes, zoneout=(0.3, 0.2), train=False), 1e-10)
    assert_equal(both(made, sizes, zoneout=(0.5, 0.0), ends=[2, 5, 5, 1]), 1e-10)


@given(
    steps=st.integers(1, 6),
    batch=st.integers(1, 33),
    features=st.integers(1, 20),
    units=st.integers(1, 70),
    name=st.sampled_from(["LSTM", "UR", "O"]),
    core=st.sampled_from([LSTMCore, GRUCore]),
)
@settings(max_examples=40, deadline=None)
def test_every_size(steps, batch, features, units, name, core):
    made = core(GRID[name], units)
    assert_equal(both(made, (steps, batch, features, units)), 1e-10)


@pytest.mark.parametrize("name", ["LSTM", "UR", "G2", "O"])
def test_float32_is_as_near_to_float64_as_the_loop_is(name):
    core, sizes = LSTMCore(GRID[name], 32), (40, 8, 5, 32)
    torch.manual_seed(3)
    loop, fused = both(core, sizes, torch.float32)
    for a, b in zip(loop, fused, strict=True):
        assert (a - b).abs().max() <= 2e-5 * (1 + a.abs().max())


def test_the_gradient_is_the_derivative():
    core = LSTMCore(GATES["UR"], 3)
    rows = sum(core.blocks().values())
    leaves = [
        torch.randn(*shape, dtype=torch.float64, requires_grad=True)
        for shape in ((3, 2, 2), (rows, 2), (rows, 3), (rows,), (rows,), (2, 3), (2, 3))
    ]

    def way(x, *rest):
        return scan(core, x, Weights(*rest[:4]), *rest[4:])

    assert torch.autograd.gradcheck(way, leaves)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_layers_directions_and_no_bias(kind):
    torch.manual_seed(0)
    options = {"num_layers": 2, "bidirectional": True, "bias": False, "gate": "LSTM0"}
    rnn = kind(5, 7, seed=0, **options)
    x = torch.randn(6, 3, 5)
    fused, _ = rnn(x)
    with reference():
        loop, _ = rnn(x)
    torch.testing.assert_close(fused, loop)


def test_inputs_that_are_not_contiguous():
    rnn = LSTM(5, 7, gate="UR", batch_first=True)
    x = torch.randn(3, 5, 6).transpose(1, 2).requires_grad_()
    fused = torch.autograd.grad(rnn(x)[0].sum(), x)[0]
    with reference():
        loop = torch.autograd.grad(rnn(x)[0].sum(), x)[0]
    torch.testing.assert_close(fused, loop)


def test_no_drift_over_ten_thousand_steps():
    core = LSTMCore(GATES["UR"], 4)
    loop, fused = both(core, (10_000, 1, 2, 4), train=False)
    assert (loop[0] - fused[0]).abs().max() < 1e-10


def test_a_frozen_weight_and_no_gradient_at_all():
    rnn = LSTM(3, 5, gate="UR")
    rnn.weight_hh_l0.requires_grad_(False)
    rnn(torch.randn(4, 2, 3))[0].sum().backward()
    assert rnn.weight_hh_l0.grad is None
    assert rnn.weight_ih_l0.grad.abs().sum() > 0
    with torch.no_grad():
        y, _ = rnn(torch.randn(4, 2, 3))
    assert not y.requires_grad


def test_a_pass_without_a_backward_is_freed():
    rnn, x = LSTM(3, 5, gate="UR"), torch.randn(4, 2, 3)
    alive = [weakref.ref(rnn(x)[0]) for _ in range(3)]
    assert not any(output() is not None for output in alive)


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("gate", ["LSTM", "UR", "O", "G2"])
@pytest.mark.parametrize("batch", [1, 33, 300])
def test_without_a_gradient_only_some_steps_are_held(kind, gate, batch):
    rnn, x = kind(3, 5, gate=gate, seed=0), torch.randn(300, batch, 3)[: 9000 // batch]
    with torch.no_grad():
        rnn.streams = Streams(1)
        short = rnn(x)
    rnn.streams = Streams(1)
    full = rnn(x)
    assert torch.equal(short[0], full[0])
    for a, b in zip(short[1], full[1], strict=True):
        assert torch.equal(a, b)


def test_a_nan_comes_through():
    x = torch.randn(6, 2, 3)
    x[2, 1] = torch.nan
    for gate in ("LSTM", "UR", "O"):
        y, _ = LSTM(3, 5, gate=gate)(x)
        assert y[2:, 1].isnan().all()
        assert y[:, 0].isfinite().all() and y[:2, 1].isfinite().all()


@pytest.mark.parametrize("gate", ["LSTM", "UR", "O", "OR", "OM", "UM", "G2"])
@pytest.mark.parametrize("core", [LSTM, GRU])
def test_large_inputs_saturate_as_in_the_loop(core, gate):
    rnn = core(1, 20, gate=GRID[gate]).eval()
    x = torch.tensor([1e4, -1e4, 1e30, -1e30]).view(4, 1, 1)
    fused, _ = rnn(x)
    with reference():
        loop, _ = rnn(x)
    torch.testing.assert_close(fused, loop)


@pytest.mark.parametrize("size", [1e-3, 1e-5, 1e-8])
def test_small_numbers_keep_their_digits_in_float32(size):
    rnn = LSTM(3, 8, gate="LSTM0", bias=False)
    x = torch.randn(1, 5, 3) * size
    fused, (_, c) = rnn(x)
    with reference():
        loop, (_, c_loop) = rnn(x)
    # sigmoid is 1/2 here, and tanh(x) = x to eight digits: the error is relative.
    torch.testing.assert_close(c, c_loop, rtol=1e-5, atol=0)
    torch.testing.assert_close(fused, loop, rtol=1e-5, atol=0)


# --------------------------------------------------------------------------
# Threads that work together on a large weight
# --------------------------------------------------------------------------


@pytest.fixture
def threads(monkeypatch):
    """Sets torch's number of threads, for one test; all take part in any work."""
    monkeypatch.setattr(crews, "WORTH", 1)
    monkeypatch.setattr(crews, "crowd", Quiet())
    monkeypatch.setattr("gatebook.fused.cpu.work.MEETING", 0)
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


class Quiet(crews.Crowd):
    """No other programs: threads are never late."""

    def here(self):
        return False


def everything(rnn, x):
    """Outputs and all gradients of a training pass."""
    rnn.streams = Streams(1)
    rnn.zero_grad()
    x = x.clone().requires_grad_()
    y, last = rnn(x)
    h, c = last if isinstance(rnn, LSTM) else (last, last)
    (y.square().sum() + h.sum() + (c * c).sum()).backward()
    return [y, h, c, x.grad, *(p.grad for p in rnn.parameters())]


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("batch", [1, 7])
def test_equal_to_the_last_bit_for_any_number_of_threads(count, batch, threads):
    rnn, x = LSTM(4, 33, gate="UR", seed=0), torch.randn(20, batch, 4)
    threads(1)
    alone = everything(rnn, x)
    threads(count)
    for _ in range(2):
        assert all(map(torch.equal, everything(rnn, x), alone))


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("units", [5, 16, 33, 70])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_plain_weight_gives_the_bits_of_a_packed_one(kind, units, dtype, monkeypatch):
    rnn, x = kind(19, units, gate="UR", dtype=dtype), torch.randn(3, 3, 19, dtype=dtype)
    monkeypatch.setattr("gatebook.fused.cpu.work.FEW", 0)
    packed = everything(rnn, x)
    monkeypatch.setattr("gatebook.fused.cpu.work.FEW", 9)
    assert all(map(torch.equal, everything(rnn, x), packed))


class Late(crews.Meeting):
    """A pass that began in the future: its threads always find the others late."""

    def __init__(self):
        super().__init__(began=2**62)


@pytest.mark.parametrize("options", [{"gate": "UR"}, {"gate": "OM", "h_detach": 0.5}])
@pytest.mark.parametrize("batch", [1, 2, 5])
def test_threads_that_go_apart_give_the_same_bits(options, batch, threads, monkeypatch):
    rnn, x = LSTM(3, 80, **options), torch.randn(9, batch, 3)
    threads(1)
    alone = everything(rnn, x)
    monkeypatch.setattr("gatebook.fused.cpu.work.LARGE", 0)
    monkeypatch.setattr(crews, "Meeting", Late)
    for count in (2, 3):
        threads(count)
        assert all(map(torch.equal, everything(rnn, x), alone))
    assert crews.openmp() is None or crews.crowd.until > 0


def test_after_threads_came_late_one_works_alone_for_a_while():
    crowd = crews.Crowd()
    assert not crowd.here()
    crowd.note(late=True)
    assert crowd.here() and crowd.pause == 2 * crews.SHORTEST
    for _ in range(20):
        crowd.note(late=True)
    assert crowd.pause == crews.LONGEST
    crowd.note(late=False)
    assert crowd.here() and crowd.pause == crews.LONGEST / 2


def test_small_work_stays_on_one_thread(monkeypatch):
    monkeypatch.setattr(crews, "crowd", Quiet())
    most = torch.get_num_threads()
    assert crews.number(0) == crews.number(crews.WORTH) == 1
    assert crews.number(100 * crews.WORTH) == min(most, 100)


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize(
    "options",
    [
        {"gate": "UR", "h_detach": 0.5},
        {"gate": "OM", "zoneout": (0.2, 0.1)},
        {"gate": "G2", "c_detach": 0.5, "bidirectional": True},
    ],
)
def test_threads_that_work_together_give_the_same_bits(
    batch, options, threads, monkeypatch
):
    rnn = LSTM(3, 80, **options)
    x = torch.randn(9, batch, 3)
    threads(1)
    alone = everything(rnn, x)
    monkeypatch.setattr("gatebook.fused.cpu.work.LARGE", 0)
    for count in (2, 3):
        threads(count)
        for a, b in zip(everything(rnn, x), alone, strict=True):
            assert torch.equal(a, b)


def test_a_gru_with_threads_that_work_together(threads, monkeypatch):
    rnn, x = GRU(3, 40, gate="UR"), torch.randn(9, 4, 3)
    with torch.no_grad():
        alone, _ = rnn(x)
        monkeypatch.setattr("gatebook.fused.cpu.work.LARGE", 0)
        threads(3)
        assert torch.equal(rnn(x)[0], alone)


def test_two_models_at_once_whose_threads_work_together(threads, monkeypatch):
    monkeypatch.setattr("gatebook.fused.cpu.work.LARGE", 0)
    rnn, x = LSTM(3, 40, gate="UR").eval(), torch.randn(50, 4, 3)
    threads(3)
    with torch.no_grad():
        expected, _ = rnn(x)

        def work():
            with torch.no_grad():
                return [rnn(x)[0] for _ in range(5)]

        with ThreadPoolExecutor(3) as pool:
            found = [pool.submit(work) for _ in range(3)]
            for each in found:
                assert all(torch.equal(y, expected) for y in each.result(timeout=60))


@pytest.mark.parametrize("large", [0, 2**40])
def test_threads_of_our_own_give_the_same_bits(large, threads, monkeypatch):
    monkeypatch.setattr("gatebook.fused.cpu.work.LARGE", large)
    rnn, x = LSTM(3, 80, gate="UR", h_detach=0.5), torch.randn(9, 4, 3)
    threads(1)
    alone = everything(rnn, x)
    threads(3)
    monkeypatch.setattr(crews, "openmp", lambda: None)
    for a, b in zip(everything(rnn, x), alone, strict=True):
        assert torch.equal(a, b)


def test_a_thread_that_cannot_start_leaves_nobody_waiting(threads, monkeypatch):
    monkeypatch.setattr("gatebook.fused.cpu.work.LARGE", 0)
    monkeypatch.setattr(crews, "openmp", lambda: None)
    threads(3)
    pool, calls = crews.pool(), []

    def submit(work, *arguments):
        calls.append(work)
        if len(calls) == 2:
            raise RuntimeError("can't start new thread")
        return ThreadPoolExecutor.submit(pool, work, *arguments)

    monkeypatch.setattr(pool, "submit", submit)
    rnn, x = LSTM(3, 40), torch.randn(20, 4, 3)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        rnn(x)
    monkeypatch.undo()
    assert rnn(x)[0].isfinite().all()


# --------------------------------------------------------------------------
# Half precision
# --------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision_is_the_float32_result_rounded(kind):
    rnn = LSTM(3, 5, gate="G2", zoneout=(0.1, 0.2)).to(kind)
    x = torch.randn(7, 4, 3, dtype=kind)
    wide = LSTM(3, 5, gate="G2", zoneout=(0.1, 0.2))
    wide.load_state_dict(rnn.state_dict())
    rnn.eval(), wide.eval()
    y, (h, c) = rnn(x)
    expected, _ = wide(x.float())
    assert y.dtype == h.dtype == c.dtype == kind
    assert torch.equal(y, expected.to(kind))
    y.float().sum().backward()
    expected.sum().backward()
    for p, q in zip(rnn.parameters(), wide.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad.to(kind), rtol=2e-2, atol=1e-3)


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_noise_in_half_precision_is_finite_and_of_its_law(kind):
    noise = Gumbel(p=1.0).sample((9999,), torch.empty(0, dtype=kind), Generator())
    assert noise.dtype == kind and noise.isfinite().all()
    assert kstest(noise.double(), "logistic").pvalue > 0.01
    y, _ = LSTM(3, 5, gate="G2", dtype=kind)(torch.randn(7, 4, 3, dtype=kind))
    assert y.isfinite().all()


# --------------------------------------------------------------------------
# Which way is taken
# --------------------------------------------------------------------------


def taken(x, dtype=torch.float32):
    core = LSTMCore(GATES["UR"], 4)
    weights = Weights(torch.zeros(16, 3, dtype=dtype), torch.zeros(16, 4, dtype=dtype))
    state = torch.zeros(x.shape[1], 4, dtype=dtype)
    return applies(Pass(core, x, weights, state, state))


def test_the_loop_takes_what_the_fused_scan_cannot():
    assert taken(torch.zeros(2, 1, 3))
    assert taken(torch.zeros(2, 1, 3, dtype=torch.bfloat16), torch.bfloat16)
    assert not taken(torch.zeros(2, 0, 3))
    with reference():
        assert not taken(torch.zeros(2, 1, 3))
    with torch.autograd.forward_ad.dual_level():
        assert not taken(torch.zeros(2, 1, 3))


def test_an_empty_batch():
    y, (h, c) = LSTM(3, 5)(torch.zeros(4, 0, 3))
    assert y.shape == (4, 0, 5) and h.shape == c.shape == (1, 0, 5)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_gradients_that_come_transposed_into_the_last_state(kind):
    rnn, x = kind(3, 4), torch.randn(5, 6, 3)
    weight = torch.randn(4, 6)

    def gradient():
        last = rnn(x)[1]
        states = last if kind is LSTM else (last,)
        loss = sum((state.mT * weight).sum() for state in states)
        return torch.autograd.grad(loss, rnn.weight_hh_l0)[0]

    fast = gradient()
    with reference():
        torch.testing.assert_close(fast, gradient())


def test_a_retained_graph_gives_the_same_gradient_again():
    rnn, x = LSTM(2, 3, gate="G2"), torch.randn(4, 1, 2, requires_grad=True)
    y = rnn(x)[0].square().sum()
    first = torch.autograd.grad(y, x, retain_graph=True)[0]
    assert torch.equal(torch.autograd.grad(y, x)[0], first)


@pytest.mark.parametrize("loss", [torch.sum, lambda y: y.square().sum()])
def test_a_second_derivative_is_refused_and_the_loop_gives_it(loss):
    rnn, x = LSTM(2, 3), torch.randn(4, 1, 2, requires_grad=True)
    with pytest.raises(RuntimeError, match="second derivative.*create_graph=True"):
        torch.autograd.grad(loss(rnn(x)[0]), x, create_graph=True)
    with reference():
        y = loss(rnn(x)[0])
    (once,) = torch.autograd.grad(y, x, create_graph=True)
    assert torch.autograd.grad(once.sum(), x)[0].isfinite().all()


def test_torch_func_goes_through_the_loop():
    rnn, x = LSTM(2, 3, gate="UR"), torch.randn(4, 1, 2)
    weights = dict(rnn.named_parameters())

    def loss(w):
        return torch.func.functional_call(rnn, w, (x,))[0].square().sum()

    found = torch.func.grad(loss)(weights)
    loss(weights).backward()
    for name, p in rnn.named_parameters():
        torch.testing.assert_close(found[name], p.grad)


@pytest.mark.parametrize("start", ["fork", "spawn"])
def test_a_child_process_computes_the_same(start):
    rnn, x = LSTM(3, 5, gate="UR").eval(), torch.randn(6, 4, 3)
    with torch.no_grad():
        here, _ = rnn(x)
    context = torch.multiprocessing.get_context(start)
    queue = context.SimpleQueue()
    child = context.Process(target=_compute, args=(rnn, x, queue))
    child.start()
    there = queue.get()
    child.join()
    assert torch.equal(here, torch.tensor(there))


def _compute(rnn: nn.Module, x: torch.Tensor, queue) -> None:
    with torch.no_grad():
        queue.put(rnn(x)[0].tolist())
