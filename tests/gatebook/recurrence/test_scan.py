"""The recurrence over time against loops written by hand."""

import pytest
import torch
from gatebook import GRU, LSTM, Gate
from gatebook.gates import GATES, CDetach, Constant, Gumbel, HDetach
from gatebook.random import Streams
from gatebook.recurrence.cells import GRUCore, LSTMCore
from gatebook.recurrence.scan import Draws, draw, scan
from torch import nn

F64 = {"dtype": torch.float64}
UNITS = 4


def lstm_by_hand(projected, weight, bias, h, c, draws=None, alive=None):
    """The standard LSTM, step after step, with all that can happen."""
    draws, outputs = draws or Draws(), []
    for t in range(len(projected)):
        pre = projected[t] + h @ weight.T + bias
        i, f, u, o = pre.chunk(4, -1)
        if draws.noise is not None:
            noise_i, noise_f = draws.noise[t].chunk(2, -1)
            i, f = (i + noise_i) / 0.9, (f + noise_f) / 0.9
        new_c = f.sigmoid() * c + i.sigmoid() * u.tanh()
        new_h = o.sigmoid() * new_c.tanh()
        if draws.keep_c is not None:
            new_c = torch.where(draws.keep_c[t], c, new_c)
        if draws.keep_h is not None:
            new_h = torch.where(draws.keep_h[t], h, new_h)
        out = new_h.clone()
        for row in [] if alive is None else (~alive[t]).nonzero().flatten():
            out[row], new_h[row], new_c[row] = 0, h[row], c[row]
        outputs.append(out)
        h, c = new_h, new_c
    return torch.stack(outputs), h, c


def inputs(steps, batch, rows=4):
    """Projected input, recurrent weight and bias, and both states."""
    wide = rows * UNITS
    return (
        torch.randn(steps, batch, wide, **F64),
        torch.randn(wide, UNITS, **F64) / 2,
        torch.randn(wide, **F64),
        torch.randn(batch, UNITS, **F64),
        torch.randn(batch, UNITS, **F64),
    )


PLAIN = LSTMCore(Gate(Constant(0.0)), UNITS)
NOISY = LSTMCore(Gate(Constant(0.0), noise=Gumbel(0.9, 0.5)), UNITS)


def assert_all_close(ours, theirs):
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b)


# -- the loop ----------------------------------------------------------------------


@pytest.mark.parametrize("steps", [1, 5])
@pytest.mark.parametrize("batch", [1, 3])
def test_the_loop_is_the_equations_over_and_over(steps, batch):
    given = inputs(steps, batch)
    ours = scan(PLAIN, *given)
    assert_all_close(ours, lstm_by_hand(*given))
    assert [tuple(t.shape) for t in ours] == [
        (steps, batch, UNITS),
        (batch, UNITS),
        (batch, UNITS),
    ]
    assert torch.equal(ours[0][-1], ours[1])


@pytest.mark.parametrize(("steps", "batch"), [(1, 1), (1, 3), (5, 1), (5, 3)])
@pytest.mark.parametrize("p", [0.0, 0.5])
def test_a_gru_has_one_state_and_is_torchs_cell(steps, batch, p):
    x, weight, bias, h, _ = inputs(steps, batch, rows=3)
    # Torch's z is the forget gate; the input's bias is in x already.
    cell = nn.GRUCell(12, UNITS, **F64)
    cell.load_state_dict(
        {
            "weight_ih": torch.eye(12, **F64),
            "bias_ih": torch.zeros(12, **F64),
            "weight_hh": weight,
            "bias_hh": bias,
        }
    )
    core = GRUCore(Gate(Constant(0.0)), UNITS)
    keep = torch.rand(steps, batch, UNITS) < p
    draws = Draws(keep_h=keep)
    out, last_h, last_c = scan(core, x, weight, bias, h, h, draws=draws)
    for t in range(steps):
        h = torch.where(keep[t], h, cell(x[t], h))
        torch.testing.assert_close(out[t], h)
    assert torch.equal(last_h, last_c) and torch.equal(last_h, out[-1])


def test_without_a_bias_none_is_added():
    x, weight, bias, h, c = inputs(3, 2)
    ours = scan(PLAIN, x, weight, None, h, c)
    assert_all_close(ours, lstm_by_hand(x, weight, 0 * bias, h, c))


def test_two_halves_are_the_whole():
    x, weight, bias, h, c = inputs(6, 2)
    whole = scan(PLAIN, x, weight, bias, h, c)
    first = scan(PLAIN, x[:4], weight, bias, h, c)
    second = scan(PLAIN, x[4:], weight, bias, *first[1:])
    assert_all_close((torch.cat([first[0], second[0]]), *second[1:]), whole)


@pytest.mark.parametrize("kind", [LSTMCore, GRUCore])
def test_the_log_has_each_gate_of_each_step(kind):
    core = kind(GATES["UR"], UNITS)
    given = inputs(5, 2, rows=4)
    log = {}
    given[0].requires_grad_()
    scan(core, *given, log=log)
    own = "output" if kind is LSTMCore else "reset"
    assert set(log) == {"forget", "refine", "effective_forget", "effective_input", own}
    assert all(len(steps) == 5 for steps in log.values())
    assert all(v.shape == (2, UNITS) for v in log["effective_forget"])
    assert not any(v.requires_grad for steps in log.values() for v in steps)


# -- ends of sequences -------------------------------------------------------------


@pytest.mark.parametrize("kind", [LSTMCore, GRUCore])
@pytest.mark.parametrize("draws", [None, Draws()])
def test_nothing_happens_where_no_sequence_is_left(kind, draws):
    core = kind(GATES["UR"], UNITS)
    x, weight, bias, h, c = inputs(5, 3)
    c = h if core.tied else c
    x.requires_grad_()
    dead = torch.zeros(5, 3, dtype=torch.bool)
    out, last_h, last_c = scan(core, x, weight, bias, h, c, alive=dead, draws=draws)
    assert torch.equal(last_h, h) and torch.equal(last_c, c)
    assert not out.any()
    (last_h.sum() + last_c.sum() + out.sum()).backward()
    assert not x.grad.any()


def test_a_state_stands_still_past_its_sequences_end():
    given = inputs(5, 3)
    lengths = torch.tensor([5, 2, 1])
    alive = torch.arange(5)[:, None] < lengths
    ours = scan(PLAIN, *given, alive=alive)
    assert_all_close(ours, lstm_by_hand(*given, alive=alive))
    assert not ours[0][2:, 1].any() and ours[0][:2, 1].all()
    x, weight, bias, h, c = given
    for k, n in enumerate(lengths):
        one = slice(k, k + 1)
        alone = scan(PLAIN, x[:n, one], weight, bias, h[one], c[one])
        torch.testing.assert_close(ours[1][one], alone[1])
        torch.testing.assert_close(ours[2][one], alone[2])


# -- draws -------------------------------------------------------------------------


def test_what_is_not_random_is_not_drawn():
    like = torch.zeros(5, 3, 4 * UNITS)
    assert draw(PLAIN, like, (0.0, 0.0), Streams(0)) == Draws()


def test_draws_have_a_step_axis_and_the_dtype_of_the_input():
    like = torch.zeros(5, 3, 4 * UNITS, **F64)
    gate = Gate(Constant(0.0), noise=Gumbel(), gradient=HDetach(0.5, "example"))
    draws = draw(LSTMCore(gate, UNITS), like, (0.3, 0.6), Streams(0))
    assert draws.noise.shape == (5, 3, 2 * UNITS) and draws.noise.dtype == like.dtype
    assert draws.detached.shape == (5, 3)
    assert draws.keep_h.shape == draws.keep_c.shape == (5, 3, UNITS)
    tied = draw(GRUCore(gate, UNITS), like[..., :12], (0.0, 0.6), Streams(0))
    assert tied.noise.shape == (5, 3, UNITS) and tied.keep_c is None


def test_the_first_probability_is_cs_and_the_second_hs():
    like = torch.zeros(50, 50, 4 * UNITS)
    draws = draw(PLAIN, like, (0.2, 0.7), Streams(0))
    assert draws.keep_c.double().mean().item() == pytest.approx(0.2, abs=0.02)
    assert draws.keep_h.double().mean().item() == pytest.approx(0.7, abs=0.02)


def test_every_kind_has_a_stream_of_its_own():
    like = torch.zeros(5, 3, 4 * UNITS)
    both = LSTMCore(Gate(Constant(0.0), noise=Gumbel(), gradient=CDetach(0.5)), UNITS)
    all_kinds = draw(both, like, (0.5, 0.5), Streams(0))
    gate = Gate(Constant(0.0), noise=Gumbel())
    noise = draw(LSTMCore(gate, UNITS), like, (0.0, 0.0), Streams(0))
    assert torch.equal(noise.noise, all_kinds.noise)
    only_h = draw(PLAIN, like, (0.0, 0.5), Streams(0))
    assert torch.equal(only_h.keep_h, all_kinds.keep_h)
    assert not torch.equal(all_kinds.keep_c, all_kinds.keep_h)


@pytest.mark.parametrize("core", [PLAIN, NOISY], ids=["quiet", "noisy"])
@pytest.mark.parametrize("zoneout", [(0.0, 0.0), (0.5, 0.0), (0.0, 0.5), (0.4, 0.6)])
def test_a_pass_with_draws_is_the_loop_with_the_same_draws(core, zoneout):
    given = inputs(6, 3)
    draws = draw(core, given[0], zoneout, Streams(1))
    ours = scan(core, *given, draws=draws, zoneout=zoneout)
    assert_all_close(ours, lstm_by_hand(*given, draws=draws))


def test_evaluation_takes_zoneouts_mean():
    x, weight, bias, h, c = inputs(1, 3)
    _, new_h, new_c = scan(PLAIN, x, weight, bias, h, c)
    ours = scan(PLAIN, x, weight, bias, h, c, zoneout=(0.3, 0.1))
    torch.testing.assert_close(ours[2], 0.3 * c + 0.7 * new_c)
    torch.testing.assert_close(ours[1], 0.1 * h + 0.9 * new_h)


def test_zoneout_keeps_old_values_in_training_and_averages_in_evaluation():
    model = LSTM(2, 50, zoneout=(1.0, 0.0), seed=0)
    x = torch.randn(4, 3, 2)
    c0 = torch.randn(1, 3, 50)
    _, (_, c) = model(x, (torch.zeros(1, 3, 50), c0))
    assert torch.equal(c, c0)  # every cell kept
    model = LSTM(2, 50, zoneout=(0.3, 0.0), seed=0)
    _, (_, c) = model(x[:1], (torch.zeros(1, 3, 50), c0))
    assert (c == c0).double().mean().item() == pytest.approx(0.3, abs=0.1)
    plain = LSTM(2, 50)
    plain.load_state_dict(model.state_dict())
    _, (_, new) = plain.eval()(x[:1], (torch.zeros(1, 3, 50), c0))
    _, (_, mean) = model.eval()(x[:1], (torch.zeros(1, 3, 50), c0))
    torch.testing.assert_close(mean, 0.3 * c0 + 0.7 * new)


def test_a_gru_has_one_zoneout():
    model = GRU(2, 8, zoneout=1.0, seed=0)
    h0 = torch.randn(1, 3, 8)
    out, h = model(torch.randn(4, 3, 2), h0)
    assert torch.equal(h, h0) and torch.equal(out[2], h0[0])


# -- h-detach and c-detach ---------------------------------------------------------


def detached_by_hand(theirs: nn.LSTM, x, detached, which):
    """P3 Algorithm 1 as a loop over torch's cell."""
    cell = nn.LSTMCell(3, 4, **F64)
    cell.load_state_dict(
        {k.removesuffix("_l0"): v for k, v in theirs.state_dict().items()}
    )
    h = c = x.new_zeros(x.shape[1], 4)
    outputs = []
    for step, off in zip(x, detached, strict=True):
        off = off.reshape(-1, 1)
        read = h if which == "h" else c
        read = torch.where(off, read.detach(), read)
        h, c = cell(step, (read, c) if which == "h" else (h, read))
        outputs.append(h)
    return cell, torch.stack(outputs)


@pytest.mark.parametrize("which", ["h", "c"])
@pytest.mark.parametrize("per", ["step", "example"])
@pytest.mark.parametrize("p", [0.0, 0.4, 1.0])
def test_detaching_is_algorithm_1(which, per, p):
    rule = (HDetach if which == "h" else CDetach)(p, per)
    theirs = nn.LSTM(3, 4, **F64)
    gate = Gate(Constant(0.0), gradient=rule)
    ours = LSTM(3, 4, gate=gate, seed=1, **F64)
    ours.load_state_dict(theirs.state_dict())
    x, weight = torch.randn(9, 5, 3, **F64), torch.randn(9, 5, 4, **F64)
    drawn = rule.sample(9, 5, LSTM(3, 4, seed=1).streams["detach", "cpu"])
    cell, expected = detached_by_hand(theirs, x, drawn, which)
    (expected * weight).sum().backward()
    out, _ = ours(x)
    (out * weight).sum().backward()
    torch.testing.assert_close(out, theirs(x)[0])  # the forward pass is untouched
    for name, parameter in cell.named_parameters():
        ours_grad = getattr(ours, f"{name}_l0").grad
        torch.testing.assert_close(ours_grad, parameter.grad, rtol=1e-9, atol=1e-12)


# -- over many steps ---------------------------------------------------------------


def test_the_backward_pass_is_not_quadratic_in_time():
    # Indexing a tensor in the loop leaves one Select node a step, each of which fills
    # a gradient of the whole sequence.
    out, _ = LSTM(2, 4, gate="UR")(torch.randn(30, 1, 2, requires_grad=True))
    names, waiting, seen = [], [out.grad_fn], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        names.append(node.name())
        waiting += [parent for parent, _ in node.next_functions]
    # The initial state of the layer is picked once for h and once for c.
    assert sum(n.startswith(("Select", "Index", "Slice")) for n in names) <= 2


@pytest.mark.parametrize("gate", ["O", "OM", "UR"])  # each kind of auxiliary gate
def test_states_are_bounded_over_ten_thousand_steps(gate):
    model = LSTM(2, 16, gate=gate).eval()
    with torch.no_grad():
        out, _ = model(torch.randn(10_000, 1, 2))
    assert out.isfinite().all() and out.abs().max() <= 1
