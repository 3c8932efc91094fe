"""The modules against torch's own, and against loops written by hand."""

import contextlib
import itertools

import hypothesis
import pytest
import torch
from gatebook import GRU, LSTM, Gate, reference
from gatebook.gates import (
    Chrono,
    Constant,
    Gumbel,
    HDetach,
    Master,
    Ordered,
    Plain,
    Refine,
    Sharpened,
    Silent,
    Tied,
    Uniform,
)
from gatebook.random import Streams, dropped
from gatebook.recurrence.cells import split
from gatebook.rnn import name_gates, together
from gatebook.rnn.stack import kept
from hypothesis import strategies as st
from torch import nn
from torch.autograd import gradcheck
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence

PAIRS = [(LSTM, nn.LSTM), (GRU, nn.GRU)]
F64 = {"dtype": torch.float64}


def states(hidden):
    """The last states as a list, for an LSTM and a GRU alike."""
    return list(hidden) if isinstance(hidden, tuple) else [hidden]


def data(output):
    return output.data if isinstance(output, PackedSequence) else output


def assert_same(ours, theirs, x, *state):
    """Outputs, last states and every gradient."""
    results = []
    for module in (ours, theirs):
        module.zero_grad()
        leaf = x if isinstance(x, PackedSequence) else x.clone().requires_grad_()
        out, hidden = module(leaf, *state)
        loss = (data(out) ** 2).sum() + sum((s**3).sum() for s in states(hidden))
        loss.backward()
        grads = {name: p.grad for name, p in module.named_parameters()}
        if isinstance(leaf, torch.Tensor):
            grads["input"] = leaf.grad
        results.append(([data(out), *states(hidden)], grads))
    for a, b in zip(results[0][0], results[1][0], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-12)
    assert results[0][1].keys() == results[1][1].keys()
    for name, grad in results[0][1].items():
        torch.testing.assert_close(grad, results[1][1][name], rtol=1e-10, atol=1e-11)


# -- torch's own -----------------------------------------------------------------


@pytest.mark.parametrize(("kind", "torch_kind"), PAIRS)
@pytest.mark.parametrize(
    ("layers", "both", "first", "bias"),
    [(1, False, False, True), (2, True, False, True), (3, False, True, False)],
)
def test_the_standard_gate_is_torchs(kind, torch_kind, layers, both, first, bias):
    theirs = torch_kind(3, 5, layers, bias, first, 0.0, both, **F64)
    ours = kind.from_torch(theirs)
    x = torch.randn(7, 4, 3, **F64)
    assert_same(ours, theirs, x)
    batch = 7 if first else 4
    state = [torch.randn(layers * (1 + both), batch, 5, **F64) for _ in range(2)]
    assert_same(ours, theirs, x, tuple(state) if kind is LSTM else state[0])


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("features", [(), (2,), (3, 1)])
def test_a_packed_sequence_of_another_width_is_named_as_one(kind, features):
    packed = nn.utils.rnn.pack_sequence([torch.zeros(4, *features)])
    with pytest.raises(ValueError, match="PackedSequence .*allowed: .*input_size 3"):
        kind(3, 5, batch_first=True)(packed)


@pytest.mark.parametrize(("kind", "torch_kind"), PAIRS)
@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("lengths", [[6, 4, 4, 1], [1, 6, 2, 5]])
def test_packed_sequences_are_torchs(kind, torch_kind, both, lengths):
    theirs = torch_kind(3, 5, 2, bidirectional=both, **F64)
    x = torch.randn(6, 4, 3, **F64)
    in_order = lengths == sorted(lengths, reverse=True)
    packed = pack_padded_sequence(x, torch.tensor(lengths), enforce_sorted=in_order)
    assert_same(kind.from_torch(theirs), theirs, packed)


@pytest.mark.parametrize(("kind", "torch_kind"), PAIRS)
@pytest.mark.parametrize("first", [False, True])
def test_a_sequence_without_a_batch(kind, torch_kind, first):
    theirs = torch_kind(3, 5, batch_first=first, **F64)
    assert_same(kind.from_torch(theirs), theirs, torch.randn(7, 3, **F64))
    out, hidden = kind.from_torch(theirs)(torch.randn(7, 3, **F64))
    assert out.shape == (7, 5) and states(hidden)[0].shape == (1, 5)


@pytest.mark.parametrize("gate", ["LSTM", "LSTM0", "C", "U", "G2"])
def test_a_gate_that_evaluates_as_torchs_can_go_there(gate):
    ours = LSTM(3, 5, 2, gate=gate, h_detach=0.5, **F64).eval()
    assert_same(ours, ours.to_torch(), torch.randn(4, 2, 3, **F64))


@pytest.mark.parametrize("gate", ["O", "R", "UR", "sharpened"])
def test_a_gate_that_torch_lacks_is_refused(gate):
    with pytest.raises(ValueError, match="gate is"):
        LSTM(3, 5, gate=gate).to_torch()


def test_state_dicts_fit_both_ways():
    ours, theirs = (
        LSTM(3, 5, 2, bidirectional=True),
        nn.LSTM(3, 5, 2, bidirectional=True),
    )
    theirs.load_state_dict(ours.state_dict())
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(4, 2, 3)
    torch.testing.assert_close(ours(x)[0], theirs(x)[0])


@pytest.mark.parametrize("gate", ["O", "LSTM0", "G2", "sharpened"])
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_module_without_bias_has_none(kind, gate):
    bare, whole = kind(3, 4, bias=False, gate=gate), kind(3, 4, gate=gate)
    assert not [n for n, _ in bare.named_parameters() if "bias" in n]
    whole.load_state_dict(whole.state_dict() | bare.state_dict())
    x = torch.randn(5, 2, 3)
    torch.testing.assert_close(bare.eval()(x)[0], whole.eval()(x)[0])


@pytest.mark.parametrize("gate", ["LSTM", "C", "U", "UR"])
def test_a_bias_that_starts_elsewhere_cannot_be_left_out(gate):
    with pytest.raises(ValueError, match="starts with a bias other than 0"):
        LSTM(3, 4, bias=False, gate=gate)


@pytest.mark.parametrize("kind, torch_kind", PAIRS)
def test_a_uniform_start_is_torchs_own(kind, torch_kind):
    torch.manual_seed(0)
    ours = kind(3, 5, 2, gate="LSTM0", bias_start="uniform").state_dict()
    torch.manual_seed(0)
    theirs = torch_kind(3, 5, 2).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def test_a_uniform_start_adds_the_gates_law():
    torch.manual_seed(0)
    rnn = LSTM(3, 400, gate="LSTM", bias_start="uniform")
    forget = rnn.bias_ih_l0.detach()[400:800]
    assert 0.95 <= forget.min() < 0.955 and 1.045 < forget.max() <= 1.05
    assert rnn.bias_hh_l0.abs().max() <= 0.05 < rnn.bias_hh_l0.abs().max() * 1.02


@pytest.mark.parametrize("start", ["gate", "uniform"])
def test_a_single_bias_is_the_only_one_that_moves(start):
    rnn = LSTM(3, 5, gate="LSTM0", single_bias=True, bias_start=start)
    rnn.reset_parameters()
    optimizer = torch.optim.Adam(rnn.parameters(), lr=0.1)
    before = rnn.bias_ih_l0.detach().clone()
    rnn(torch.ones(4, 2, 3))[0].sum().backward()
    optimizer.step()
    assert not rnn.bias_hh_l0.any()
    assert not torch.equal(rnn.bias_ih_l0, before)


@pytest.mark.parametrize(
    "option, message",
    [
        ({"bias_start": "unifrom"}, "'unifrom'; did you mean 'uniform'"),
        ({"bias": False, "single_bias": True}, "bias is False, but bias_start"),
        ({"bias": False, "bias_start": "uniform"}, "bias is False, but bias_start"),
    ],
)
def test_options_of_a_bias_are_checked(option, message):
    with pytest.raises((ValueError, TypeError), match=message):
        LSTM(3, 5, gate="LSTM0", **option)


SHARED = ["C", "U", "UR", "UM", "OR", "LSTM"]


@pytest.mark.parametrize("gate", SHARED)
@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_shared_gate_bias_starts_like_the_law_inside(kind, gate):
    torch.manual_seed(0)
    inside = kind(3, 16, gate=gate, **F64)
    torch.manual_seed(0)
    shared = kind(3, 16, gate=gate, gate_bias="shared", **F64)
    x = torch.randn(5, 2, 3, **F64)
    torch.testing.assert_close(shared(x)[0], inside(x)[0])
    assert not shared.bias_ih_l0.any()


@pytest.mark.parametrize("gate", SHARED)
def test_the_loop_and_the_fused_scan_agree_on_a_shared_bias(gate):
    rnn = LSTM(3, 16, 2, gate=gate, gate_bias="shared", bidirectional=True, **F64)
    x = torch.randn(6, 4, 3, **F64)
    found = []
    for context in (contextlib.nullcontext(), reference()):
        rnn.zero_grad()
        with context:
            rnn(x)[0].square().sum().backward()
        found.append([p.grad.clone() for p in rnn.parameters()])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-10)


def test_under_adam_a_shared_bias_moves_the_forget_gate_up_to_three_times_as_far():
    # What r0mainK's code does from equal weights (P2 Listing 2).
    rnn = LSTM(3, 16, gate="UR", gate_bias="shared", **F64)
    sizes = rnn.core.blocks()
    total = lambda: split(  # noqa: E731
        (rnn._weights("l0").bias_ih + rnn.bias_hh_l0).detach(), sizes
    )
    before = total()
    rnn(torch.randn(5, 2, 3, **F64))[0].sin().sum().backward()
    grad = split(rnn.bias_ih_l0.grad, sizes)
    apart = grad["forget"] - grad["refine"]
    torch.testing.assert_close(rnn.gate_bias_l0.grad, apart)
    torch.optim.Adam(rnn.parameters(), lr=1e-3).step()
    moved = {name: (bias - before[name]) / -1e-3 for name, bias in total().items()}
    expected = {
        "forget": 2 * grad["forget"].sign() + apart.sign(),
        "refine": 2 * grad["refine"].sign() - apart.sign(),
        "update": 2 * grad["update"].sign(),
    }
    for name, value in expected.items():
        torch.testing.assert_close(moved[name], value, rtol=0, atol=1e-3)


def test_a_fixed_gate_bias_does_not_move_and_a_shared_one_is_one_parameter():
    shapes = {
        how: [
            p.requires_grad
            for n, p in LSTM(3, 16, gate="UR", gate_bias=how).named_parameters()
            if n == "gate_bias_l0"
        ]
        for how in ("inside", "shared", "fixed")
    }
    assert shapes == {"inside": [], "shared": [True], "fixed": [False]}


@pytest.mark.parametrize("gate", ["UR", "U", "R", "OM", "G2"])
def test_a_reset_before_the_product_is_s4s(gate):
    rnn = GRU(3, 16, gate=gate, reset="before", **F64).eval()
    x, h = torch.randn(5, 2, 3, **F64), torch.zeros(2, 16, **F64)
    sizes = rnn.core.blocks()
    w, u = split(rnn.weight_ih_l0.T, sizes), split(rnn.weight_hh_l0.T, sizes)
    b = split(rnn.bias_ih_l0 + rnn.bias_hh_l0, sizes)
    for step in x:
        pre = {k: step @ w[k] + h @ u[k] + b[k] for k in sizes}
        s = pre.pop("reset").sigmoid()
        new = (step @ w["update"] + (s * h) @ u["update"] + b["update"]).tanh()
        pre.pop("update")
        g = rnn.gate.effective(pre, tied=True)
        h = g["effective_forget"] * h + g["effective_input"] * new
    torch.testing.assert_close(rnn(x)[1][0], h)
    assert gradcheck(lambda v: rnn(v)[0], x.requires_grad_())


def test_a_gru_without_a_reset_gate():
    rnn = GRU(3, 16, gate="UR", reset="none", **F64)
    assert list(rnn.core.blocks()) == ["forget", "update", "refine"]
    whole = GRU(3, 16, gate="UR", **F64)
    opened = {}
    for name, rows in whole.named_parameters():
        rows = rows.detach()
        parts = split(rows.mT if rows.dim() == 2 else rows, whole.core.blocks())
        if name == "bias_ih_l0":
            parts["reset"] = parts["reset"] + 1e4  # s = 1
            whole.bias_ih_l0.data = torch.cat(list(parts.values()))
        del parts["reset"]
        rows = torch.cat(list(parts.values()), -1)
        opened[name] = rows.mT if name.startswith("weight") else rows
    rnn.load_state_dict(name_gates(opened, rnn))
    x = torch.randn(5, 2, 3, **F64)
    torch.testing.assert_close(rnn(x)[0], whole(x)[0])
    with reference():
        torch.testing.assert_close(rnn(x)[0], whole(x)[0])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: LSTM(3, 5, gate_bias="own"), "unknown gate_bias 'own'"),
        (lambda: LSTM(3, 5, reset="before"), "an LSTM has no reset gate"),
        (lambda: GRU(3, 5, reset="befor"), "unknown reset 'befor'"),
        (lambda: GRU(3, 5, reset="none").to_torch(), "reset is 'none'; allowed"),
        (lambda: GRU(3, 5, reset="before").to_torch(), "reset is 'before'; allowed"),
        (lambda: LSTM(3, 5, gate_bias="fixed").to_torch(), "gate_bias is 'fixed'"),
    ],
)
def test_options_of_the_papers_own_forms_are_checked(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(("kind", "torch_kind"), PAIRS)
def test_frozen_weights_stay_frozen_both_ways(kind, torch_kind):
    theirs = torch_kind(3, 5)
    theirs.weight_hh_l0.requires_grad_(False)
    frozen = [p.requires_grad for p in theirs.parameters()]
    ours = kind.from_torch(theirs)
    assert [p.requires_grad for p in ours.parameters()] == frozen
    assert [p.requires_grad for p in ours.to_torch().parameters()] == frozen


@pytest.mark.parametrize("bias", [True, False])
def test_weights_are_listed_as_torch_lists_them(bias):
    theirs = nn.LSTM(3, 5, 2, bias, bidirectional=True)
    ours = LSTM.from_torch(theirs)
    ours.flatten_parameters()
    for a, b in zip(ours.all_weights, theirs.all_weights, strict=True):
        assert all(map(torch.equal, a, b)) and len(a) == len(b)


def test_dropout_of_a_single_layer_warns_that_it_does_nothing():
    with pytest.warns(UserWarning, match="dropout is 0.5 and num_layers is 1"):
        LSTM(3, 4, dropout=0.5)
    GRU(3, 4, num_layers=2, dropout=0.5, proj_size=0)


def test_equal_parameters_on_both_sides():
    count = lambda gate: sum(p.numel() for p in LSTM(10, 32, gate=gate).parameters())  # noqa: E731
    plain = count("LSTM")
    assert all(count(gate) == plain for gate in ("C", "O", "U", "R", "OR", "UR"))
    assert plain < count("OM") == count("UM") < 1.1 * plain  # P2: a 1/(2C) fraction


# -- every point of the grid -------------------------------------------------------

GRID = list(
    itertools.product(
        [Constant(0.5), Chrono(8), Uniform(), Ordered()],
        [Plain(), Tied(), Refine(), Refine("zero"), Master(2)],
        [Silent(), Gumbel(0.7, 0.5), Sharpened(0.5)],
    )
)


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize(
    "axes", GRID, ids=lambda axes: "-".join(type(a).__name__ for a in axes)
)
def test_gradients_of_every_gate_are_right(kind, axes):
    model = kind(1, 2, gate=Gate(*axes), seed=0, **F64)
    names = [name for name, _ in model.named_parameters()]
    x = torch.randn(3, 1, 1, **F64, requires_grad=True)

    def run(x, *values):
        model.streams = type(model.streams)(0)  # the same noise at every call
        out, hidden = torch.func.functional_call(
            model, dict(zip(names, values, strict=True)), (x,)
        )
        return out, *states(hidden)

    values = [p.detach().clone().requires_grad_() for p in model.parameters()]
    assert torch.autograd.gradcheck(run, (x, *values))


# -- h-detach and c-detach ---------------------------------------------------------


def test_p_is_the_probability_of_detaching():
    rule = HDetach(0.9)
    drawn = rule.sample(10000, 3, torch.Generator().manual_seed(0))
    assert drawn.shape == (10000,)
    assert drawn.double().mean().item() == pytest.approx(0.9, abs=0.01)
    shape = HDetach(0.5, "example").sample(7, 3, torch.Generator()).shape
    assert shape == (7, 3)


def test_detaching_has_a_stream_of_its_own():
    x = torch.randn(20, 4, 3)
    torch.manual_seed(0)
    expected = torch.rand(1)
    outs = []
    for p in (0.1, 0.9):
        torch.manual_seed(0)
        model = LSTM(3, 4, gate="G2", h_detach=p, seed=0)
        torch.manual_seed(0)
        outs.append(model(x)[0])
        assert torch.equal(torch.rand(1), expected)
    assert torch.equal(*outs)  # the same noise whatever p is


def test_the_head_sees_h_and_c_carries_the_gradient_at_p_1():
    model = LSTM(3, 4, gate="LSTM0", h_detach=1.0, **F64)
    x = torch.randn(6, 2, 3, **F64, requires_grad=True)
    model(x)[0][-1].sum().backward()
    assert (x.grad.abs().sum((1, 2)) > 0).all()
    both = LSTM(3, 4, gate="LSTM0", c_detach=1.0, **F64)
    x.grad = None
    both(x)[0][-1].sum().backward()
    assert (x.grad.abs().sum((1, 2)) > 0).all()  # through h


def test_nothing_is_detached_in_evaluation():
    model = LSTM(3, 4, h_detach=1.0, **F64).eval()
    plain = LSTM(3, 4, **F64).eval()
    plain.load_state_dict(model.state_dict())
    x = torch.randn(6, 2, 3, **F64)
    grads = []
    for m in (model, plain):
        m(x)[0].sum().backward()
        grads.append(m.weight_hh_l0.grad)
    torch.testing.assert_close(*grads)


def test_annealing_changes_the_rule():
    model = LSTM(3, 4, h_detach=0.5)
    model.set_detach(0.0)
    assert model.gate.gradient == HDetach(0.0)


def test_a_gru_keeps_its_linear_path_under_h_detach():
    model = GRU(3, 4, h_detach=1.0, **F64)
    x = torch.randn(6, 2, 3, **F64, requires_grad=True)
    model(x)[0][-1].sum().backward()
    assert (x.grad.abs().sum((1, 2)) > 0).all()


# -- noise ------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_noise_acts_in_training_only_and_follows_the_seed(kind):
    x = torch.randn(5, 3, 2)
    torch.manual_seed(0)
    a = kind(2, 8, gate="G2", seed=7)
    torch.manual_seed(0)
    b = kind(2, 8, gate="G2", seed=7)
    assert torch.equal(a(x)[0], b(x)[0])
    assert not torch.equal(a(x)[0], kind.forward(b.eval(), x)[0])
    assert torch.equal(b(x)[0], b(x)[0])


# -- shapes, lengths, graph ----------------------------------------------------------


@hypothesis.given(
    lengths=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    layers=st.integers(1, 2),
    both=st.booleans(),
    gate=st.sampled_from(["LSTM", "UR", "O", "UM"]),
    kind=st.sampled_from([LSTM, GRU]),
)
@hypothesis.settings(max_examples=25, deadline=None)
def test_a_packed_batch_is_its_sequences_one_by_one(lengths, layers, both, gate, kind):
    model = kind(3, 16, layers, bidirectional=both, gate=gate, **F64).eval()
    sequences = [torch.randn(n, 3, **F64) for n in lengths]
    packed = nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
    out, hidden = model(packed)
    padded, found = nn.utils.rnn.pad_packed_sequence(out)
    assert found.tolist() == lengths
    for k, sequence in enumerate(sequences):
        alone, last = model(sequence)
        torch.testing.assert_close(padded[: lengths[k], k], alone)
        for whole, one in zip(states(hidden), states(last), strict=True):
            torch.testing.assert_close(whole[:, k], one)


def test_an_empty_batch_gives_an_empty_output():
    out, (h, c) = LSTM(3, 4, gate="UR")(torch.zeros(5, 0, 3))
    assert out.shape == (5, 0, 4) and h.shape == c.shape == (1, 0, 4)


# -- dropout -----------------------------------------------------------------------


def test_dropout_between_layers_is_decided_by_the_modules_seed():
    def first(seed):
        torch.manual_seed(1)
        rnn = LSTM(3, 50, 2, dropout=0.5, seed=seed)
        torch.manual_seed(seed + 5)  # has no part in it
        return rnn(torch.ones(6, 4, 3))[0]

    a, b, other = first(0), first(0), first(1)
    assert torch.equal(a, b) and not torch.equal(a, other)
    expected = torch.rand(3)
    torch.manual_seed(6)
    assert torch.equal(torch.rand(3), expected)  # nothing was drawn there


@pytest.mark.parametrize("p", [0.3, 1.0])
def test_dropout_acts_between_the_layers_only(p):
    rnn, x = LSTM(3, 20, 2, dropout=p, seed=2, **F64), torch.randn(6, 4, 3, **F64)
    one, two = LSTM(3, 20, **F64), LSTM(20, 20, **F64)
    for name, value in rnn.state_dict().items():
        layer = (one, two)[int(name[-1])]
        getattr(layer, f"{name[:-1]}0").data.copy_(value)
    between = dropped(one(x)[0], p, Streams(2)["dropout", "cpu"])
    assert (between == 0).double().mean().item() == pytest.approx(p, abs=0.05)
    torch.testing.assert_close(rnn(x)[0], two(between)[0])
    torch.testing.assert_close(rnn.eval()(x)[0], two(one(x)[0])[0])


# -- the meta device ---------------------------------------------------------------


@pytest.mark.parametrize("kind", [LSTM, GRU])
def test_a_module_is_made_without_memory_and_filled_later(kind):
    with torch.device("meta"):
        rnn = kind(3, 4, gate="U", seed=1)
    assert all(p.is_meta for p in rnn.parameters())
    rnn.to_empty(device="cpu").reset_parameters()
    assert rnn(torch.ones(5, 2, 3))[0].isfinite().all()


@pytest.mark.parametrize("options", [{}, {"gate": "G2", "h_detach": 0.5}])
def test_shapes_and_gradients_are_known_without_numbers(options):
    noisy = {"zoneout": (0.1, 0.2), "weight_drop": 0.5, "dropout": 0.5}
    rnn = LSTM(3, 4, 2, **options, **(noisy if options else {}), device="meta")
    out, (h, _) = rnn(torch.zeros(5, 2, 3, device="meta"))
    out.sum().backward()
    assert out.shape == (5, 2, 4) and h.shape == (2, 2, 4)
    assert rnn.weight_hh_l0.grad.is_meta


# -- weight drop -------------------------------------------------------------------


def test_weight_drop_is_one_mask_for_all_steps_and_the_raw_weight_learns():
    rnn = LSTM(2, 6, weight_drop=0.5, seed=3)
    x = torch.randn(5, 2, 2)
    y, _ = rnn(x)
    y.sum().backward()
    again = Streams(3)
    keep = kept(rnn.weight_hh_l0, 0.5, again["weight_drop", "cpu"])
    assert 0.3 < keep.float().mean() < 0.7
    plain = LSTM(2, 6)
    plain.load_state_dict(rnn.state_dict())
    with torch.no_grad():
        plain.weight_hh_l0.mul_(keep * 2)
    torch.testing.assert_close(y, plain(x)[0])
    assert torch.equal(rnn.weight_hh_l0.grad != 0, keep)


@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 1 - 1e-9])
def test_weight_drop_keeps_each_entry_alike_and_by_itself(p):
    g = torch.Generator().manual_seed(0)
    keep = kept(torch.empty(1001, 999), p, g).double()  # an odd number of entries
    error = (p * (1 - p) / keep.numel()) ** 0.5
    assert abs(keep.mean() - (1 - p)) < 4 * error + 2**-16
    for shift in (1, 2, 3, 4, 999):  # entries drawn from one number, or far apart
        flat = keep.flatten() - keep.mean()
        assert abs((flat[shift:] * flat[:-shift]).mean()) < 4e-6 + 5 * error * 0.5


def test_weight_drop_differs_between_passes_and_rests_in_evaluation():
    rnn, x = LSTM(2, 6, weight_drop=0.5), torch.randn(5, 2, 2)
    assert not torch.equal(rnn(x)[0], rnn(x)[0])
    plain = LSTM(2, 6).eval()
    plain.load_state_dict(rnn.state_dict())
    assert torch.equal(rnn.eval()(x)[0], plain(x)[0])


@pytest.mark.parametrize("p", [-0.1, 1.0])
def test_a_weight_drop_that_leaves_nothing_is_refused(p):
    with pytest.raises(ValueError, match=r"weight_drop is .*; allowed: a number in"):
        LSTM(2, 3, weight_drop=p)


# -- several modules at once -------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"num_layers": 2, "bidirectional": True, "dropout": 0.3},
        {"batch_first": True, "zoneout": (0.1, 0.2), "weight_drop": 0.3},
    ],
)
def test_modules_together_have_the_numbers_of_each_alone(options):
    gates = ("UR", "G2", "LSTM")
    make = [LSTM(2, 5, gate=g, seed=k, **options) for k, g in enumerate(gates)]
    xs = [torch.randn(4, 3, 2) for _ in make]
    alone = [m(x)[0] for m, x in zip(make, xs, strict=True)]
    for k, m in enumerate(make):
        m.streams = Streams(k)
    for a, b in zip(together(make, xs), alone, strict=True):
        assert torch.equal(a, b)


def test_modules_that_do_not_fit_each_other_are_refused():
    x = torch.zeros(4, 3, 2)
    with pytest.raises(ValueError, match="allowed: equal sizes"):
        together([LSTM(2, 5), LSTM(2, 6)], [x, x])
    with pytest.raises(ValueError, match="allowed: equal sizes"):
        together([LSTM(2, 5), LSTM(2, 5)], [x, x[:2]])
    for other in ({"num_layers": 2}, {"bidirectional": True}, {"batch_first": True}):
        with pytest.raises(ValueError, match="allowed: equal sizes"):
            together([LSTM(2, 5), LSTM(2, 5, **other)], [x, x])


SET = [
    {"num_layers": 2, "dropout": 0.1},
    {"bidirectional": True},
    {"batch_first": True},
    {"weight_drop": 0.2},
    {"bias_start": "uniform"},
    {"single_bias": True},
    {"gate": "UR", "gate_bias": "shared"},
]


@pytest.mark.parametrize("options", SET)
def test_the_words_of_a_module_name_what_was_set(options):
    """A checkpoint tells models apart by them."""
    words = repr(LSTM(2, 16, **options))
    for name, value in options.items():
        assert name == "gate" or f"{name}={value!r}" in words


def test_the_words_of_a_gru_name_its_reset():
    assert "reset='before'" in repr(GRU(2, 4, reset="before"))
    assert "reset" not in repr(GRU(2, 4)) + repr(LSTM(2, 4))
