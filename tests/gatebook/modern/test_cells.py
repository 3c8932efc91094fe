"""The linear-recurrent cells: one promise each, kept by all."""

import contextlib

import gatebook
import pytest
import torch
from gatebook import record
from gatebook.fused.cpu import threads
from gatebook.gates import (
    Chrono,
    Constant,
    Gate,
    Gumbel,
    HDetach,
    Plain,
    Refine,
    Sharpened,
    Uniform,
)
from gatebook.modern import CELLS, HGRN, Bounds, Graded, LogUniform, Ring, Steps
from torch import nn

EVERY = pytest.mark.parametrize("name", CELLS)
FEATURES, H, B, T = 5, 8, 3, 6


def make(name, **options):
    return CELLS[name](FEATURES, H, seed=0, **{"dtype": torch.float64} | options)


def sequence(steps=T):
    return torch.randn(steps, B, FEATURES, dtype=torch.float64)


def leaves(state):
    return state if isinstance(state, tuple) else (state,)


def assert_close(one, other):
    for a, b in zip(leaves(one), leaves(other), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def gradients(cell, x, state=None):
    output, last = cell(x, state)
    total = output.sin().sum() + sum(part.sin().sum() for part in leaves(last))
    return torch.autograd.grad(total, [x, *cell.parameters()], allow_unused=True)


@EVERY
def test_steps_halves_and_the_whole_are_equal(name):
    cell, x = make(name), sequence()
    whole, last = cell(x)
    first, state = cell(x[:4])
    second, end = cell(x[4:], state)
    assert_close(torch.cat([first, second]), whole)
    assert_close(end, last)
    state, outputs = None, []
    for x_t in x:
        output, state = cell.step(x_t, state)
        outputs.append(output)
    assert_close(torch.stack(outputs), whole)
    assert_close(state, last)


@EVERY
def test_no_state_is_a_state_of_zeros(name):
    cell, x = make(name), sequence()
    state = cell(x)[1]
    zeros = tuple(torch.zeros_like(part) for part in leaves(state))
    assert_close(cell(x, zeros if isinstance(state, tuple) else zeros[0]), cell(x))


@EVERY
def test_the_reference_computes_the_same_with_the_same_gradients(name):
    cell, x = make(name), sequence().requires_grad_()
    ours = cell(x)[0], *gradients(cell, x)
    with gatebook.reference():
        theirs = cell(x)[0], *gradients(cell, x)
    assert_close(ours, theirs)


@EVERY
def test_threads_share_the_work(name, monkeypatch):
    cell, x = make(name), sequence(20).requires_grad_()
    alone = cell(x)[0], *gradients(cell, x)
    monkeypatch.setattr(threads, "number", lambda work: 2)
    assert_close((cell(x)[0], *gradients(cell, x)), alone)


@EVERY
def test_gradients_against_differences(name):
    cell = make(name)
    x = sequence(3)[:, :1].contiguous().requires_grad_()
    start = [p.detach().requires_grad_() for p in leaves(cell(x)[1])]
    m = [start.pop().detach()] if name in ("mLSTM", "sLSTM") else []

    def run(x, *start):
        state = (*start, *m)
        return cell(x, state if len(state) > 1 else state[0])[0]

    assert torch.autograd.gradcheck(run, (x, *start), fast_mode=True)


@EVERY
def test_every_parameter_learns(name):
    cell, x = make(name), sequence().requires_grad_()
    with torch.no_grad():  # one that starts at 0 may hold back another
        for p in cell.parameters():
            p.add_(0.1 * torch.randn_like(p))
    for found in gradients(cell, x):
        assert found is not None and found.abs().max() > 0


@EVERY
def test_nan_stays_in_its_sequence(name):
    cell, x = make(name), sequence()
    clean = cell(x)[0]
    x[2, 1, 0] = torch.nan
    seen = cell(x)[0]
    assert seen[2:, 1].isnan().any()
    assert torch.equal(seen[:2], clean[:2])
    assert torch.equal(seen[:, [0, 2]], clean[:, [0, 2]])


@EVERY
def test_equal_seeds_start_and_draw_equally(name):
    runs = []
    for _ in range(2):
        torch.manual_seed(1)
        cell = make(name, gate=Gate(Constant(0.0), noise=Gumbel(p=1.0)))
        runs.append(cell(torch.ones(T, B, FEATURES, dtype=torch.float64))[0])
    assert torch.equal(*runs)
    quiet = cell.eval()(torch.ones(T, B, FEATURES, dtype=torch.float64))[0]
    assert not torch.equal(quiet, runs[0])


@EVERY
def test_the_recorder_sees_the_gates(name):
    cell, x = make(name), sequence()
    with record(cell) as gates:
        cell(x)
    f = gates["l0"]["effective_forget"]
    assert f.shape[:2] == (T, B)
    assert not f.requires_grad and (f > 0).all() and (f < 1).all()


@EVERY
def test_a_model_that_starts_its_linear_layers_anew_keeps_the_law(name):
    def start_anew(part):
        if isinstance(part, nn.Linear):
            nn.init.normal_(part.weight, std=0.02)
            if part.bias is not None:
                nn.init.zeros_(part.bias)

    cell = make(name)
    before = cell.timescales()
    nn.Sequential(cell).apply(start_anew)
    assert torch.equal(cell.timescales(), before)


@EVERY
def test_a_device_without_numbers(name):
    cell = make(name, device="meta")
    output, _ = cell(torch.empty(T, B, FEATURES, device="meta", dtype=torch.float64))
    assert output.shape == (T, B, cell.output_width)


@pytest.mark.parametrize("name", ["HGRN", "Mamba", "mLSTM"])
def test_export(name):
    cell, x = make(name), sequence()
    program = torch.export.export(cell, (x,)).module()
    assert_close(program(x)[0], cell(x)[0])


@pytest.mark.parametrize("name", ["minGRU", "GLA", "sLSTM"])
def test_gradients_of_each_sequence(name):
    cell, x = make(name), sequence()
    named = dict(cell.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(cell, parameters, (x[:, None],))[0].sum()

    each = torch.func.vmap(torch.func.grad(loss), (None, 1))(named, x)
    cell(x)[0].sum().backward()
    assert_close(each["gate_weight"].sum(0), cell.gate_weight.grad)


@EVERY
def test_half_precision_and_autocast(name):
    cell = make(name, dtype=torch.float32)
    x = sequence().float()
    expected = cell(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        output = cell(x)[0]
    assert output.dtype == torch.bfloat16
    torch.testing.assert_close(output.float(), expected, atol=0.05, rtol=0.05)


@EVERY
def test_gates_that_no_cell_takes(name):
    for gate in ("O", "UM", "CIFG", Gate(gradient=gatebook.gates.CDetach(0.5))):
        with pytest.raises(ValueError, match="allowed"):
            make(name, gate=gate)


@EVERY
def test_h_detach_needs_gates_that_read_h(name):
    gate = Gate(Constant(0.0), gradient=HDetach(1.0))
    if name == "sLSTM":
        make(name, gate=gate)
    else:
        with pytest.raises(ValueError, match="do not read h"):
            make(name, gate=gate)


@EVERY
def test_bad_input(name):
    cell, x = make(name), sequence()
    state = cell(x)[1]
    short = tuple(part[:2] for part in leaves(state))
    with pytest.raises(ValueError, match="shape"):
        cell(x, short if isinstance(state, tuple) else short[0])
    with pytest.raises(TypeError, match="allowed"):
        cell(x, 3)
    with pytest.raises(ValueError, match="input has shape"):
        cell(x[..., :2])
    with pytest.raises(ValueError, match="input has dtype"):
        cell(x.float())
    with pytest.raises(ValueError, match="hidden_size is 0"):
        CELLS[name](FEATURES, 0)


def test_minimal_gru_is_its_equation():
    cell, x = make("minGRU"), sequence()
    z = x @ cell.gate_weight.T + cell.gate_bias
    v, h, outputs = cell.value(x), torch.zeros(B, H, dtype=torch.float64), []
    for f, v_t in zip(z.sigmoid(), v, strict=True):
        h = f * h + (1 - f) * torch.where(v_t >= 0, v_t + 0.5, v_t.sigmoid())
        outputs.append(h)
    assert_close(cell(x)[0], torch.stack(outputs))


def zeros(*shape):
    return torch.zeros(B, *shape, dtype=torch.float64)


def blocks(cell, x):
    """The gate's pre-activations by name."""
    pre = x @ cell.gate_weight.T + cell.gate_bias
    return dict(
        zip(cell.blocks, pre.split(list(cell.blocks.values()), -1), strict=True)
    )


def test_minimal_lstm_is_its_equation():
    cell, x = make("minLSTM", gate="U"), sequence()
    pre, v, h, outputs = blocks(cell, x), cell.value(x), zeros(H), []
    f, i = pre["forget"].sigmoid(), pre["input"].sigmoid()
    for f_t, i_t, v_t in zip(f, i, v, strict=True):
        g = torch.where(v_t >= 0, v_t + 0.5, v_t.sigmoid())
        h = (f_t * h + i_t * g) / (f_t + i_t)
        outputs.append(h)
    assert_close(cell(x)[0], torch.stack(outputs))


def test_hgrn_is_its_equation_and_its_bounds_learn():
    bounds = Bounds(3, H, dtype=torch.float64)
    nn.init.normal_(bounds.logits)
    cell, x = make("HGRN", bounds=bounds, layer=2), sequence()
    low = bounds.logits.softmax(0)[:2].sum(0)
    f = low + (1 - low) * blocks(cell, x)["forget"].sigmoid()
    h, outputs = zeros(H), []
    for f_t, v_t in zip(f, cell.value(x), strict=True):
        h = f_t * h + (1 - f_t) * v_t * v_t.sigmoid()
        outputs.append(h)
    output, _ = cell(x)
    assert_close(output, torch.stack(outputs))
    output.sum().backward()
    assert bounds.logits.grad.abs().max() > 0
    for layer, units in [(3, H), (0, H + 4)]:
        with pytest.raises(ValueError, match="those of bounds"):
            HGRN(FEATURES, units, bounds=bounds, layer=layer)
    for layer in (3, -1):
        with pytest.raises(ValueError, match=f"layer is {layer}; allowed: .* 0 to 2"):
            bounds.of(layer)


def test_rg_lru_is_its_equation():
    cell, x = make("RG-LRU", heads=2), sequence()
    u = cell.value(x)
    pre = [
        half @ w.T
        for w in cell.gate_weight.chunk(2)
        for half, w in [(u, torch.block_diag(*w.chunk(2)))]
    ]
    i, r = (p.sigmoid() for p in pre)
    f = torch.exp(-8 * r * nn.functional.softplus(cell.base))
    h, outputs = zeros(H), []
    for f_t, i_t, u_t in zip(f, i, u, strict=True):
        h = f_t * h + (1 - f_t**2).sqrt() * i_t * u_t
        outputs.append(h)
    assert_close(cell(x)[0], torch.stack(outputs))


def test_rg_lru_has_finite_gradients_where_f_rounds_to_one():
    cell = CELLS["RG-LRU"](FEATURES, H)
    nn.init.constant_(cell.base, -200.0)
    cell(torch.randn(3, 2, FEATURES))[0].sum().backward()
    assert all(p.grad.isfinite().all() for p in cell.parameters())


def test_mamba_is_its_equation():
    cell, x = make("Mamba", states=3), sequence()
    u = cell.value(x)
    delta = nn.functional.softplus(-blocks(cell, cell.low(u))["forget"])
    rates, bc = cell.log_rates.exp(), cell.enter_leave(u)
    h, outputs = zeros(H, 3), []
    for d, u_t, e in zip(delta[..., None], u[..., None], bc, strict=True):
        b, c = e[:, None, :3], e[:, None, 3:]
        h = torch.exp(-d * rates) * h + d * b * u_t
        outputs.append((c * h).sum(-1) + cell.skip * u_t[..., 0])
    assert_close(cell(x)[0], torch.stack(outputs))


def test_gla_is_its_equation():
    cell, x = make("GLA", heads=2), sequence()
    f = blocks(cell, cell.low(x))["forget"].sigmoid() ** (1 / 16)
    parts = f, cell.key(x), cell.query(x) * 2**-0.5, cell.value(x)
    f, k, q, v = (p.unflatten(-1, (2, -1)) for p in parts)
    s, outputs = zeros(2, 2, 4), []
    for f_t, k_t, q_t, v_t in zip(f, k, q, v, strict=True):
        s = f_t[..., None] * s + k_t[..., None] * v_t[..., None, :]
        outputs.append((q_t[..., None] * s).sum(-2).flatten(-2))
    assert_close(cell(x)[0], torch.stack(outputs))


def test_mlstm_is_its_equation_without_the_stabiliser():
    cell, x = make("mLSTM", heads=2), sequence()
    nn.init.normal_(cell.gate_weight)
    pre = blocks(cell, x)
    f, i = pre["forget"].sigmoid()[..., None], pre["input"].exp()[..., None]
    parts = cell.qkv(x).chunk(3, -1)
    q, k, v = (p.unflatten(-1, (2, -1)) for p in parts)
    c, n, outputs = zeros(2, 4, 4), zeros(2, 4), []
    for t in range(T):
        key = i[t] * k[t] / 2
        c = f[t][..., None] * c + key[..., None] * v[t][..., None, :]
        n = f[t] * n + key
        size = (n * q[t]).sum(-1, keepdim=True).abs().clamp(min=1)
        outputs.append(((q[t][..., None] * c).sum(-2) / size).flatten(-2))
    assert_close(cell(x)[0], torch.stack(outputs))


def slstm(**options):
    cell = make("sLSTM", heads=2, **options)
    nn.init.normal_(cell.recurrent_weight)
    return cell


def test_slstm_is_its_equation_without_the_stabiliser():
    cell, x = slstm(gate=Gate(Constant(1.0))), sequence()
    h, c, n, outputs = zeros(H), zeros(H), zeros(H), []
    recurrent = [w.view(4, 4, 4) for w in cell.recurrent_weight]  # in, block, out
    for x_t in x:
        heads = zip(h.chunk(2, -1), recurrent, strict=True)
        read = torch.cat([torch.einsum("bi,igo->bgo", p, w) for p, w in heads], -1)
        pre = x_t @ cell.gate_weight.T + cell.gate_bias + read.flatten(1)
        z, i, o, f = pre.chunk(4, -1)
        c = f.sigmoid() * c + i.exp() * z.tanh()
        n = f.sigmoid() * n + i.exp()
        h = o.sigmoid() * c / n
        outputs.append(h)
    assert list(cell.blocks) == ["candidate", "input", "output", "forget"]
    assert_close(cell(x)[0], torch.stack(outputs))


@pytest.mark.parametrize("name", ["mLSTM", "sLSTM"])
def test_exponential_gates_do_not_overflow(name):
    cell = CELLS[name](FEATURES, H)
    nn.init.normal_(cell.gate_weight, std=100)
    output, _ = cell(10 * torch.randn(40, B, FEATURES))
    output.sum().backward()
    assert output.isfinite().all()
    assert all(p.grad.isfinite().all() for p in cell.parameters())


def test_h_detach_cuts_the_gradient_through_h():
    x = sequence().requires_grad_()
    torch.manual_seed(0)
    cut = slstm(gate=Gate(Graded(heads=2), gradient=HDetach(1.0)))
    torch.manual_seed(0)
    full = slstm(gate=Gate(Graded(heads=2)))
    assert torch.equal(cut(x)[0], full(x)[0])
    one, other = (torch.autograd.grad(c(x)[0].sum(), x)[0] for c in (cut, full))
    assert not torch.allclose(one, other)
    torch.testing.assert_close(one[-1], other[-1])
    cut.eval()
    assert_close(torch.autograd.grad(cut(x)[0].sum(), x)[0], other)


SLSTMS = [
    Gate(Graded(heads=2), Refine("zero")),
    Gate(Graded(heads=2), Refine("zero"), Gumbel(p=1.0), HDetach(0.5)),
    Gate(Graded(heads=2), gradient=HDetach(0.5, per="example")),
    Gate(Graded(heads=2), noise=Sharpened()),
]


@pytest.mark.parametrize("gate", SLSTMS)
def test_the_compiled_slstm_is_the_loop_with_any_gate(gate):
    x = sequence().requires_grad_()
    found = []
    for way in (contextlib.nullcontext(), gatebook.reference()):
        torch.manual_seed(0)
        cell = slstm(gate=gate)
        state = cell.eval()(x)[1]
        cell.train()
        with way:
            found.append((cell(x, state)[0], *gradients(cell, x, state)))
    assert_close(*found)


def test_the_graded_start_goes_over_each_head():
    cell = CELLS["sLSTM"](FEATURES, 6, heads=2)
    bias = cell.gate_bias[-6:]
    assert torch.equal(bias[:3], bias[3:])
    assert bias[0] == 5 and bias[2] == -7
    with pytest.raises(ValueError, match="heads of Graded is 4 for 6"):
        CELLS["sLSTM"](FEATURES, 6, heads=2, gate=Gate(Graded()))


def test_h_detach_by_example():
    gate = Gate(Graded(heads=2), gradient=HDetach(0.5, per="example"))
    cell, x = slstm(gate=gate), sequence().requires_grad_()
    assert torch.autograd.grad(cell(x)[0].sum(), x)[0].isfinite().all()


@pytest.mark.parametrize("bias", ["zero", "mirrored"])
def test_the_refine_gate_is_that_of_the_grid(bias):
    gate = Gate(Uniform(), Refine(bias))
    cell, x = make("minGRU", gate=gate), sequence()
    pre = (x @ cell.gate_weight.T + cell.gate_bias).split(H, -1)
    expected = gate.effective(dict(zip(cell.blocks, pre, strict=True)), tied=True)
    with record(cell) as gates:
        cell(x)
    assert_close(gates["l0"]["effective_forget"], expected["effective_forget"])


DRAW = [name for name in CELLS if not CELLS[name].takes.draws]
LAWS = [Uniform(), Chrono(200), LogUniform(2, 200), Steps(), Ring(0.81, 0.998, 2)]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("name", DRAW)
def test_a_law_is_one_of_the_effective_forget_gate(name, law):
    heads = {"heads": 64} if name == "RG-LRU" else {}  # a smaller product
    tau = CELLS[name](1, 4096, gate=Gate(law), **heads).timescales()
    tau = tau[:, 0] if name == "Mamba" else tau
    expected = -1 / nn.functional.logsigmoid(law.forget_bias(4096, None))
    places = torch.tensor([0.1, 0.3, 0.5, 0.7, 0.9])
    ratio = tau.quantile(places) / expected.quantile(places)
    assert (ratio.log().abs() < 0.25).all()


@EVERY
def test_a_state_names_what_it_computes(name):
    refined = Refine("zero") if name != "RG-LRU" else Plain()
    gate = Gate(Constant(0.0), refined, Sharpened(0.5))
    state = make(name, gate=gate).state_dict()
    make(name, gate=Gate(Constant(1.0), refined, Sharpened(0.5))).load_state_dict(state)
    with pytest.raises(ValueError, match="weights are of"):
        make(name, gate=Gate(Constant(0.0), refined)).load_state_dict(state)


def test_a_state_is_for_its_number_of_heads():
    state = make("GLA", heads=2).state_dict()
    with pytest.raises(ValueError, match="heads=2"):
        make("GLA", heads=4).load_state_dict(state)


def test_a_law_needs_a_bias():
    make("minGRU", bias=False)
    with pytest.raises(ValueError, match="the law is its bias"):
        make("minGRU", bias=False, gate="U")
