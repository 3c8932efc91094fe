"""The linear recurrence: compiled, in Triton, in place and as an operator."""

from inspect import unwrap

import gatebook
import pytest
import torch
from gatebook.fused.cpu import threads
from gatebook.modern import compiled, gpu, linear_recurrence, recurrence, states

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
F64 = {"dtype": torch.float64}


def operands(steps, shape=(2, 3), start=True, low=0.0, high=1.0):
    a = torch.empty(steps, *shape, **F64).uniform_(low, high)
    b = torch.randn(steps, *shape, **F64)
    h0 = torch.randn(*shape, **F64) if start else None
    return [t if t is None else t.requires_grad_() for t in (a, b, h0)]


def gradients(function, given):
    """The values, and the gradients of their product with fixed numbers."""
    leaves = [t for t in given if t is not None]
    out = function(*given)
    weight = torch.linspace(-1, 1, out.numel(), dtype=out.dtype).view_as(out)
    return [out, *torch.autograd.grad((out * weight).sum(), leaves)]


def check(function, given, limit=1e-12):
    expected = gradients(recurrence.loop, given)
    for one, other in zip(gradients(function, given), expected, strict=True):
        scale = other.abs().max().clamp(min=1)
        assert (one - other).abs().max() <= limit * scale


def on_gpu(a, b, h0=None):
    """Triton's kernels, in its interpreter where there is no GPU."""
    return OnGPU.apply(a, b, h0)


class OnGPU(torch.autograd.Function):
    @staticmethod
    def forward(ctx, a, b, h0):
        a, b, h0 = (t if t is None else t.to(DEVICE) for t in (a, b, h0))
        h = torch.empty_like(b)
        gpu.forward(a, b, h0, h)
        ctx.save_for_backward(a, h, h0)
        return h.cpu()

    @staticmethod
    def backward(ctx, g):
        a, h, h0 = ctx.saved_tensors
        da, d = torch.empty_like(a), torch.empty_like(a)
        gpu.backward(a, h, h0, g.contiguous().to(DEVICE), da, d)
        dh0 = None if h0 is None else (d[0] * a[0]).cpu()
        return da.cpu(), d.cpu(), dh0


def in_place(monkeypatch):
    monkeypatch.setattr(compiled, "usable", lambda *_: False)
    return linear_recurrence


WAYS = ["compiled", "in place", "operator", "triton"]


@pytest.fixture(params=WAYS)
def way(request, monkeypatch):
    if request.param == "triton":
        pytest.importorskip(
            "triton", reason="`pip install triton` tests the GPU's code"
        )
        return on_gpu
    if request.param == "operator":
        return torch.ops.gatebook.linear_recurrence
    return in_place(monkeypatch) if request.param == "in place" else linear_recurrence


@pytest.mark.parametrize("start", [True, False])
@pytest.mark.parametrize("steps", [1, 2, 33])
def test_every_way_equals_the_loop(way, steps, start):
    check(way, operands(steps, start=start))


@pytest.mark.parametrize("ends", [(0.0, 1e-6), (1 - 1e-6, 1.0), (-1.0, 1.0)])
def test_factors_near_the_ends(ends):
    check(linear_recurrence, operands(50, low=ends[0], high=ends[1]))


def test_long_sequences():
    check(linear_recurrence, operands(4096, shape=(2,), low=0.9), limit=1e-11)


def test_gradcheck():
    given = operands(4, shape=(2,))
    assert torch.autograd.gradcheck(linear_recurrence, given)
    assert torch.autograd.gradcheck(linear_recurrence, given[:2])


def test_more_channels_than_a_strip_and_more_threads(monkeypatch):
    monkeypatch.setattr(threads, "number", lambda work: 3)
    check(linear_recurrence, operands(3, shape=(5001,)))


def test_no_start_is_zeros():
    a, b, _ = operands(3)
    zeros = linear_recurrence(a, b, torch.zeros_like(a[0]))
    assert torch.equal(linear_recurrence(a, b), zeros)


def test_two_halves_are_the_whole():
    a, b, h0 = operands(9)
    first = linear_recurrence(a[:4], b[:4], h0)
    second = linear_recurrence(a[4:], b[4:], first[-1])
    assert torch.equal(torch.cat([first, second]), linear_recurrence(a, b, h0))


def test_any_layout():
    a, b, h0 = (t.detach() for t in operands(5))
    turned = [t.transpose(-1, -2).contiguous().transpose(-1, -2) for t in (a, b, h0)]
    assert torch.equal(linear_recurrence(*turned), linear_recurrence(a, b, h0))


def test_nan_stays_in_its_channel():
    a, b, h0 = (t.detach() for t in operands(5))
    clean = linear_recurrence(a, b, h0)
    a[2, 0, 1] = torch.nan
    seen = linear_recurrence(a, b, h0)
    touched = torch.zeros_like(seen, dtype=torch.bool)
    touched[2:, 0, 1] = True
    assert torch.equal(seen.isnan(), touched)
    assert torch.equal(seen[~touched], clean[~touched])


def test_half_precision_is_worked_out_in_float32():
    a, b = torch.full((300, 1), 0.996, dtype=torch.bfloat16), torch.ones(300, 1)
    exact = linear_recurrence(a.float(), b)[-1]
    rounded = linear_recurrence(a, b.bfloat16())[-1]
    assert rounded.dtype == torch.bfloat16
    assert (rounded - exact).abs() < 0.005 * exact


def test_second_derivatives_by_the_reference():
    given = operands(3, shape=(1,))
    with pytest.raises(RuntimeError, match="second derivative"):
        out = linear_recurrence(*given).sum()
        torch.autograd.grad(out, given, create_graph=True)
    with gatebook.reference():
        assert torch.autograd.gradgradcheck(linear_recurrence, given)


def test_transforms_of_torch_func():
    a, b, h0 = (t.detach() for t in operands(4))
    batched = torch.func.vmap(linear_recurrence, (1, 1, 0), 1)(a, b, h0)
    torch.testing.assert_close(batched, linear_recurrence(a, b, h0))


def test_a_compiler_sees_one_node():
    a, b, h0 = (t.detach() for t in operands(4))
    program = torch.export.export(Recurrence(), (a, b, h0))
    names = [str(n.target) for n in program.graph.nodes if n.op == "call_function"]
    assert names == ["gatebook.linear_recurrence.default"]
    assert torch.equal(program.module()(a, b, h0), linear_recurrence(a, b, h0))


class Recurrence(torch.nn.Module):
    def forward(self, a, b, h0):
        return linear_recurrence(a, b, h0)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ((torch.ones(3, 2), torch.ones(3, 1)), "b has shape"),
        ((torch.ones(3, 2), torch.ones(3, 2), torch.ones(3, 2)), "h0 has shape"),
        ((torch.ones(3, 2), torch.ones(3, 2).double()), "b has dtype"),
        ((torch.ones(0, 2), torch.ones(0, 2)), "at least one step"),
        ((torch.ones(3, 2).cfloat(), torch.ones(3, 2).cfloat()), "a has .*complex64"),
        ((torch.ones(3, 2).long(), torch.ones(3, 2).long()), "a has dtype .*int64"),
    ],
)
def test_bad_input(given, words):
    with pytest.raises(ValueError, match=words):
        unwrap(linear_recurrence)(*given)  # without the types that tests check


def test_anything_but_tensors_is_refused():
    with pytest.raises(TypeError, match="a is a list; allowed: a tensor"):
        unwrap(linear_recurrence)([1.0], [2.0])
    with pytest.raises(TypeError, match="b is a NoneType"):
        unwrap(linear_recurrence)(torch.ones(3, 2), None)


SHAPES = {
    states.matrix_recurrence: {
        **dict.fromkeys("fk", (5, 2, 3, 4)),
        **{"v": (5, 2, 3, 6), "q": (5, 2, 3, 4), "state": (2, 3, 4, 6)},
    },
    states.selective_recurrence: {
        **{"step": (5, 2, 3), "u": (5, 2, 3), "a": (3, 4)},
        **{"b": (5, 2, 4), "c": (5, 2, 4), "state": (2, 3, 4)},
    },
}


@pytest.mark.parametrize("function", SHAPES)
def test_what_c_would_read_beyond_its_end_is_refused(function):
    given = {name: torch.rand(shape) for name, shape in SHAPES[function].items()}
    function = unwrap(function)
    assert function(**given)[0].isfinite().all()
    for name, x in given.items():
        wrong = "a" if name == "step" else name  # its own sizes are the first
        for other in (given[wrong][:, :1], given[wrong][0], given[wrong][..., :1, :1]):
            with pytest.raises(ValueError, match=r"has shape .*; allowed: \("):
                function(**given | {wrong: other})
        if x is not next(iter(given.values())):
            with pytest.raises(ValueError, match=f"{name} has dtype torch.float64"):
                function(**given | {name: x.double()})
    none = {k: v[:0] if len(v) == 5 else v for k, v in given.items()}
    with pytest.raises(ValueError, match="at least one step"):
        function(**none)
