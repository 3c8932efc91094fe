"""The cores against the papers' equations, written out for one step."""

import pytest
import torch
from gatebook import LSTM, NINE, Gate, record
from gatebook.gates import (
    GATES,
    Chrono,
    Constant,
    Gumbel,
    HDetach,
    Master,
    Ordered,
    Refine,
    Uniform,
)
from gatebook.recurrence.cells import (
    GRUCore,
    LSTMCore,
    initial_bias,
    noise_blocks,
    split,
    with_gate,
)

F64 = {"dtype": torch.float64}
UNITS, BATCH = 4, 3


def core_of(kind, name):
    """The core of a paper's gate; masters over two units each, to be small."""
    gate = GATES[name]
    if name in ("OM", "UM"):
        gate = Gate(gate.activation, Master(2))
    return kind(gate, UNITS)


def rows(core):
    return sum(core.blocks().values())


def step(core, *, batch=BATCH, **options):
    """Random x and rec shares and states, and what a step makes of them."""
    x, rec = (torch.randn(batch, rows(core), **F64) for _ in range(2))
    h, c = (torch.randn(batch, UNITS, **F64) for _ in range(2))
    noise, training = options.get("noise"), options.get("training", False)
    return (x, rec, h, c), core.step(x, rec, h, c, noise, training)


def cumax(pre):
    return pre.softmax(-1).cumsum(-1)


# -- blocks ------------------------------------------------------------------------


def test_blocks_lie_as_torch_has_them_then_the_rest():
    assert core_of(LSTMCore, "LSTM").blocks() == dict(
        input=4, forget=4, update=4, output=4
    )
    assert list(core_of(LSTMCore, "UR").blocks()) == [
        "refine",
        "forget",
        "update",
        "output",
    ]
    masters = list(core_of(LSTMCore, "OM").blocks().items())[4:]
    assert masters == [("master_input", 2), ("master_forget", 2)]
    assert list(core_of(GRUCore, "LSTM").blocks()) == ["reset", "forget", "update"]
    assert list(core_of(GRUCore, "UR").blocks())[3:] == ["refine"]
    assert list(core_of(GRUCore, "UM").blocks().items())[3:] == [("master_forget", 2)]


def test_rows_are_cut_in_order_on_the_last_axis():
    parts = split(torch.arange(10).expand(2, 5, 10).float(), {"a": 3, "b": 7})
    assert parts["a"].shape == (2, 5, 3) and parts["b"].shape == (2, 5, 7)
    assert parts["a"][0, 0].tolist() == [0, 1, 2] and parts["b"][1, 4, 0] == 3
    with pytest.raises(RuntimeError):
        split(torch.zeros(2, 9), {"a": 3, "b": 7})


@pytest.mark.parametrize(
    ("kind", "name", "blocks"),
    [
        (LSTMCore, "G2", ["input", "forget"]),
        (LSTMCore, "OM", ["input", "forget", "master_input", "master_forget"]),
        (LSTMCore, "UR", ["refine", "forget"]),
        (GRUCore, "G2", ["forget"]),
        (GRUCore, "UR", ["forget", "refine"]),
    ],
)
def test_noise_enters_the_gates_blocks_only(kind, name, blocks):
    assert list(noise_blocks(core_of(kind, name))) == blocks


def test_another_gate_around_the_same_core():
    core = core_of(GRUCore, "UR")
    other = with_gate(core, Gate(gradient=HDetach(0.5)))
    assert other == GRUCore(Gate(gradient=HDetach(0.5)), UNITS)
    assert core == core_of(GRUCore, "UR")


# -- the bias at the start ---------------------------------------------------------


def test_the_gate_fixes_its_blocks_and_every_other_bias_is_zero():
    bias = split(
        initial_bias(LSTMCore(Gate(Constant(1.5)), 4)), dict.fromkeys("ifuo", 4)
    )
    assert bias["f"].tolist() == [1.5] * 4
    assert not torch.cat([bias["i"], bias["u"], bias["o"]]).any()
    bias = split(initial_bias(GRUCore(Gate(Constant(1.5)), 4)), dict.fromkeys("sfu", 4))
    assert bias["f"].tolist() == [1.5] * 4
    assert not torch.cat([bias["s"], bias["u"]]).any()


@pytest.mark.parametrize("activation", [Chrono(9), Uniform()])
def test_the_input_or_the_refine_bias_mirrors_the_forget_bias(activation):
    for auxiliary in ({}, {"auxiliary": Refine()}):
        bias = initial_bias(LSTMCore(Gate(activation, **auxiliary), 4))
        assert torch.equal(bias[:4], -bias[4:8]) and bias[:8].any()
    bias = initial_bias(GRUCore(Gate(activation, Refine()), 4))
    assert torch.equal(bias[12:], -bias[4:8])  # reset, forget, update, refine


# -- one step ----------------------------------------------------------------------


def gates_by_hand(name, pre, tied):
    """Effective forget and input gates from pre-activations in the core's order."""
    f = cumax(pre["forget"]) if name in ("O", "OR") else pre["forget"].sigmoid()
    if name in ("R", "OR", "UR"):  # P2 eqs. 11-13
        r = pre["refine"].sigmoid()
        g = r * (1 - (1 - f) ** 2) + (1 - r) * f**2
        return g, 1 - g
    if name in ("OM", "UM"):  # P2 eqs. 19-23
        law = cumax if name == "OM" else torch.sigmoid
        fm = law(pre["master_forget"]).repeat_interleave(2, -1)
        if tied:
            im, i = 1 - fm, 1 - f
        else:
            im = law(pre["master_input"]).repeat_interleave(2, -1)
            im, i = 1 - im if name == "OM" else im, pre["input"].sigmoid()
        return f * fm * im + fm - fm * im, i * fm * im + im - fm * im
    if tied:
        return f, 1 - f
    i = 1 - cumax(pre["input"]) if name == "O" else pre["input"].sigmoid()
    return f, i


def names(core):
    """The order of the rows, written out once more."""
    refined = isinstance(core.gate.auxiliary, Refine)
    masters = isinstance(core.gate.auxiliary, Master)
    if core.tied:
        more = ["refine"] * refined + ["master_forget"] * masters
        return ["reset", "forget", "update", *more]
    first = "refine" if refined else "input"
    more = ["master_input", "master_forget"] if masters else []
    return [first, "forget", "update", "output", *more]


def cut(core, wide):
    sizes = [2 if "master" in name else UNITS for name in names(core)]
    return dict(zip(names(core), wide.split(sizes, -1), strict=True))


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", NINE)
def test_an_lstms_step_is_the_equations_written_out(name, batch):
    core = core_of(LSTMCore, name)
    (x, rec, _, c), (new_h, new_c, gates) = step(core, batch=batch)
    pre = cut(core, x + rec)
    f, i = gates_by_hand(name, pre, tied=False)
    expected = f * c + i * pre["update"].tanh()  # P2 eq. 6
    torch.testing.assert_close(new_c, expected)
    o = pre["output"].sigmoid()
    torch.testing.assert_close(new_h, o * expected.tanh())  # P2 eq. 7
    torch.testing.assert_close(gates["output"], o)
    torch.testing.assert_close(gates["effective_forget"], f)
    torch.testing.assert_close(gates["effective_input"], i)
    assert new_h.shape == new_c.shape == (batch, UNITS)


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("name", NINE)
def test_a_grus_step_is_the_equations_written_out(name, batch):
    core = core_of(GRUCore, name)
    (x, rec, _, c), (new_h, new_c, gates) = step(core, batch=batch)
    px, ph = cut(core, x), cut(core, rec)
    s = (px["reset"] + ph["reset"]).sigmoid()
    u = (px["update"] + s * ph["update"]).tanh()
    f, i = gates_by_hand(name, {k: px[k] + ph[k] for k in px}, tied=True)
    torch.testing.assert_close(new_h, f * c + i * u)
    assert torch.equal(new_h, new_c)
    torch.testing.assert_close(gates["reset"], s)


@pytest.mark.parametrize("kind", [LSTMCore, GRUCore])
def test_the_hidden_state_enters_by_its_share_alone(kind):
    # h-detach swaps the h that is read: the linear path must not see it.
    core = core_of(kind, "UR")
    (x, rec, h, c), (new_h, new_c, _) = step(core)
    again = core.step(x, rec, torch.full_like(h, 7.0), c, None, False)
    assert torch.equal(again[0], new_h) and torch.equal(again[1], new_c)


def test_noise_moves_the_gates_blocks_in_training_only():
    core = LSTMCore(Gate(Constant(0.0), noise=Gumbel(tau=0.5, p=1.0)), UNITS)
    noise = {k: torch.randn(BATCH, UNITS, **F64) for k in ("input", "forget")}
    (x, rec, h, c), (_, new_c, gates) = step(core, noise=noise, training=True)
    pre = cut(core, x + rec)
    f, i = (((pre[k] + noise[k]) / 0.5).sigmoid() for k in ("forget", "input"))
    torch.testing.assert_close(new_c, f * c + i * pre["update"].tanh())
    torch.testing.assert_close(gates["output"], pre["output"].sigmoid())
    quiet = core.step(x, rec, h, c, noise, False)[1]
    f, i = (pre[k].sigmoid() for k in ("forget", "input"))
    torch.testing.assert_close(quiet, f * c + i * pre["update"].tanh())


def test_ordered_gates_of_one_unit_forget_nothing():
    core = LSTMCore(Gate(Ordered()), 1)
    c = torch.randn(2, 1)
    _, new_c, _ = core.step(
        torch.randn(2, 4), torch.randn(2, 4), torch.zeros(2, 1), c, None, False
    )
    assert torch.equal(new_c, c)  # cumax of one number is 1: f = 1 and i = 0


@pytest.mark.parametrize("gate", NINE)
def test_a_step_is_the_papers_update(gate):
    # One LSTM step from the recorded gates alone: c' = f c + i tanh(u), h' = o tanh c'.
    model = LSTM(3, 16, gate=gate, **F64).eval()
    x, h0, c0 = (torch.randn(1, 2, n, **F64) for n in (3, 16, 16))
    with record(model) as gates:
        out, (_, c) = model(x, (h0, c0))
    g = {name: value[0] for name, value in gates["l0"].items()}
    rows = list(model.core.blocks())
    sizes = list(model.core.blocks().values())
    start = sum(sizes[: rows.index("update")])
    pre = x[0] @ model.weight_ih_l0.T + h0[0] @ model.weight_hh_l0.T
    pre = pre + model.bias_ih_l0 + model.bias_hh_l0
    u = pre[:, start : start + 16].tanh()
    torch.testing.assert_close(
        c[0], g["effective_forget"] * c0[0] + g["effective_input"] * u
    )
    torch.testing.assert_close(out[0], g["output"] * c[0].tanh())
