"""One step at a time: cells and `step` against torch's cells and against the whole."""

import copy
import pickle

import pytest
import torch
from gatebook import GRU, LSTM, Gate, GRUCell, LSTMCell, record, reference
from gatebook.fused.step import Step
from gatebook.gates import Gumbel, Master, Ordered, Refine
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

CELLS = [(LSTMCell, nn.LSTMCell), (GRUCell, nn.GRUCell)]
KINDS = [(LSTM, LSTMCell), (GRU, GRUCell)]
GATES = ["LSTM", "UR", "O", "sharpened", Gate(Ordered(), Master(2)), "CIFG"]
F64 = {"dtype": torch.float64}


def states(hidden):
    """The states as a list, for an LSTM and a GRU alike."""
    return list(hidden) if isinstance(hidden, tuple) else [hidden]


def like(kind, *shape, **options):
    """A state for ``kind``."""
    drawn = [torch.randn(*shape, **options) for _ in range(2)]
    return drawn[0] if kind in (GRU, GRUCell) else tuple(drawn)


def close(ours, theirs):
    for a, b in zip(states(ours), states(theirs), strict=True):
        torch.testing.assert_close(a, b)


@pytest.fixture
def short(monkeypatch):
    """How often the short way was taken."""
    calls, once = [], Step.__call__

    def counted(self, *given):
        calls.append(given)
        return once(self, *given)

    monkeypatch.setattr(Step, "__call__", counted)
    return calls


# -- torch's cells -----------------------------------------------------------------


@pytest.mark.parametrize(("kind", "torch_kind"), CELLS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("shape", [(4, 3), (3,), (0, 3)])
def test_the_standard_cell_is_torchs(kind, torch_kind, bias, shape, short):
    theirs = torch_kind(3, 5, bias, "cpu", torch.float64)
    ours = kind.from_torch(theirs).eval()
    x, hx = torch.randn(shape, **F64), like(kind, *shape[:-1], 5, **F64)
    close(ours(x, hx), theirs(x, hx))
    assert not short  # there was a gradient
    with torch.no_grad():
        close(ours(x, hx), theirs(x, hx))
        close(ours(x), theirs(x))
    assert len(short) == 2
    close(ours.to_torch()(x, hx), theirs(x, hx))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    theirs.load_state_dict(ours.state_dict())


@pytest.mark.parametrize(("kind", "torch_kind"), CELLS)
def test_gradients_are_torchs(kind, torch_kind):
    theirs = torch_kind(3, 5, **F64)
    ours, x = kind.from_torch(theirs), torch.randn(4, 3, **F64)
    for cell in (ours, theirs):
        hidden = None
        for _ in range(3):
            hidden = cell(x, hidden)
        sum(s.square().sum() for s in states(hidden)).backward()
    for name, p in ours.named_parameters():
        torch.testing.assert_close(p.grad, theirs.get_parameter(name).grad)


# -- a sequence step by step -------------------------------------------------------


def step_by_step(run, x, hx):
    outs = []
    for x_t in x:
        out, hx = run(x_t, hx)
        outs.append(out)
    return torch.stack(outs), hx


@pytest.mark.parametrize("gate", GATES)
@pytest.mark.parametrize(("kind", "cell_kind"), KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_steps_in_turn_are_the_whole(gate, kind, cell_kind, dtype, short):
    zoneout = 0.2 if kind is GRU else (0.1, 0.3)
    options = {"gate": gate, "zoneout": zoneout, "dtype": dtype}
    rnn = kind(3, 8, 2, **options).eval()
    x, hx = torch.randn(6, 4, 3, dtype=dtype), like(kind, 2, 4, 8, dtype=dtype)
    with torch.no_grad():
        found, last = step_by_step(rnn.step, x, hx)
        assert len(short) == 12
        with reference():
            whole, end = rnn(x, hx)
            slow = step_by_step(rnn.step, x, hx)
        assert len(short) == 12
    for out, hidden in ((found, last), slow):
        torch.testing.assert_close(out, whole)
        close(hidden, end)
    one, cell = kind(3, 8, **options).eval(), cell_kind(3, 8, **options).eval()
    own = one.state_dict().items()
    cell.load_state_dict({k.removesuffix("_l0"): v for k, v in own})
    run = lambda x, hx: (states(cell(x, hx))[0], cell(x, hx))  # noqa: E731
    with torch.no_grad():
        torch.testing.assert_close(step_by_step(run, x, None)[0], one(x)[0])


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("first", [False, True])
def test_a_stream_without_a_batch_and_one_in_chunks(kind, first):
    rnn = kind(3, 8, 2, batch_first=first, gate="UR").eval()
    x = torch.randn(7, 3)
    with torch.no_grad():
        whole, end = rnn(x)
        found, last = step_by_step(rnn.step, x[:4], None)
        rest, last = rnn(x[4:], last)
    torch.testing.assert_close(torch.cat([found, rest]), whole)
    close(last, end)


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_training_step_has_the_gradient_of_the_whole(kind):
    rnn = kind(3, 8, 2, gate="R", h_detach=1.0, **F64)
    x, grads = torch.randn(4, 2, 3, **F64), []
    for run in (lambda: step_by_step(rnn.step, x, None), lambda: rnn(x)):
        rnn.zero_grad()
        out, hidden = run()
        (out.square().sum() + states(hidden)[-1].sum()).backward()
        grads.append([p.grad for p in rnn.parameters()])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("kind", [LSTMCell, GRUCell])
def test_noise_acts_in_training_and_follows_the_seed(kind):
    a, b = (kind(3, 8, gate="G2", seed=1) for _ in range(2))
    b.load_state_dict(a.state_dict())
    x = torch.randn(2, 3)
    first = states(a(x))[0]
    assert torch.equal(first, states(b(x))[0])
    assert not torch.equal(first, states(a(x))[0])
    assert torch.equal(states(a.eval()(x))[0], states(a(x))[0])


# -- when the short way must not be taken -----------------------------------------


# torch.func.jvp imports what torch itself calls deprecated.
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated")
def test_the_short_way_is_left_where_it_would_be_wrong(short):
    cell, x = LSTMCell(3, 4, gate="UR").eval(), torch.randn(2, 3)
    with torch.no_grad():
        wanted = cell(x)[0]
        assert len(short) == 1
        rows = torch.func.vmap(lambda row: cell(row)[0])(x)
        torch.testing.assert_close(rows, wanted)
        with FakeTensorMode(allow_non_fake_inputs=True), reference():
            assert cell(torch.zeros(2, 3))[0].shape == (2, 4)
        with torch.autocast("cpu", torch.bfloat16):
            cell(x)
        half = copy.deepcopy(cell).bfloat16()
        torch.testing.assert_close(
            half(x.bfloat16())[0].float(), wanted, atol=0.02, rtol=0
        )
    tangent = torch.func.jvp(lambda x: cell(x)[0], (x,), (torch.ones_like(x),))[1]
    assert tangent.abs().max() > 0
    assert len(short) == 1


def test_a_recorded_step_takes_the_loop(short):
    rnn = LSTM(3, 4, gate="UR").eval()
    with torch.no_grad(), record(rnn) as gates:
        rnn.step(torch.randn(2, 3))
    assert gates["l0"]["refine"].shape == (1, 2, 4) and not short


def test_a_changed_gate_or_copy_is_laid_out_anew():
    cell, x = GRUCell(3, 4, h_detach=0.5).eval(), torch.randn(2, 3)
    with torch.no_grad():
        before = cell(x)
        cell.set_detach(0.0)
        twins = [copy.deepcopy(cell), pickle.loads(pickle.dumps(cell))]
        for twin in [cell, *twins]:
            assert torch.equal(twin(x), before)
        twins[0].zoneout = (0.0, 0.5)
        torch.testing.assert_close(twins[0](x), before / 2)
        cell.double()
        torch.testing.assert_close(cell(x.double()).float(), before)


def test_output_and_state_do_not_share_memory():
    rnn = LSTM(3, 4).eval()
    with torch.no_grad():
        out, (h, _) = rnn.step(torch.randn(2, 3))
    before = h.clone()
    out.zero_()
    assert torch.equal(h, before)


# -- the surface -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda x: LSTM(3, 4, bidirectional=True).step(x), "bidirectional is True"),
        (lambda x: LSTM(3, 4).step(x[None]), r"input has shape \(1, 2, 3\).*one step"),
        (lambda x: LSTMCell(5, 4)(x), r"\(2, 3\).*with input_size 5"),
        (lambda x: LSTMCell(3, 4)(x.double()), "dtype torch.float64; allowed"),
        (lambda x: GRUCell(3, 4)(x, x), r"h_0 has shape \(2, 3\); allowed: \(2, 4\)"),
        (
            lambda x: GRUCell(3, 4)(x[0], torch.zeros(1, 4)),
            r"allowed: \(4,\), that is \(hidden_size\)",
        ),
        (lambda x: LSTMCell(3, 4, gate="UR").to_torch(), "gate is"),
        (lambda x: LSTMCell(3, 5, gate="OM"), r"Master\(5\)"),
        (lambda x: LSTMCell(3, 4, bias=False), "starts with a bias other than 0"),
    ],
)
def test_a_mistake_gives_a_clear_error(call, message):
    with pytest.raises(ValueError, match=message):
        call(torch.randn(2, 3))


def test_a_cell_refuses_the_weights_of_another_function():
    state = LSTMCell(3, 4, gate="UR").state_dict()
    LSTMCell(3, 4, gate="R").load_state_dict(dict(state))
    with pytest.raises(ValueError, match="'LSTM Refine sigmoid'; allowed"):
        LSTMCell(3, 4).load_state_dict(dict(state))


def test_a_cell_starts_as_the_gate_does():
    cell = LSTMCell(3, 400, gate=Gate(noise=Gumbel(), auxiliary=Refine()))
    refine, forget = cell.bias_ih.detach()[:800].split(400)
    assert (forget == 1).all() and not refine.any()
    assert 0.049 < cell.weight_hh.abs().max() <= 0.05


@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_trace_of_a_step_serves_other_numbers():
    cell = LSTMCell(3, 4, gate="UR").eval()
    x, other = torch.randn(2, 2, 3)
    with torch.no_grad():
        traced = torch.jit.trace(cell, (x,))
        torch.testing.assert_close(traced(other), cell(other))
