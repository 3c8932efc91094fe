"""What is compiled computes what its Python says, and so does its derivative."""

from dataclasses import dataclass

import pytest
import torch
from gatebook import DNC, Gate, reference
from gatebook.fused.cpu import threads
from gatebook.gates import Gumbel, HDetach
from gatebook.memory import compiled
from torch import nn

F64 = {"dtype": torch.float64}
close = torch.testing.assert_close


@dataclass(frozen=True)
class Many:
    """Every operation that has a print, on one small example."""

    def __call__(self, x, y):
        u = (x * 2 - y[:, None]).sigmoid() / (1 + (x * x).sum(-1, keepdim=True).sqrt())
        sorted_, order = u.unbind(1)[1].sort(dim=-1, stable=True)
        logs = sorted_.log()
        a = torch.zeros_like(logs).scatter(-1, order, (logs.cumsum(-1) - logs).exp())
        rows = torch.cat([x.transpose(1, 2), u.mT], -1)
        weights = (nn.functional.softplus(rows) @ torch.cat([x, x], 1)).softmax(1)
        parts = torch.stack([p.tanh() for p in y.split([2, 2], -1)], 1)
        itself = torch.eye(4, dtype=torch.bool)
        return a, -weights.masked_fill(itself, 0.5), parts.flip(-1), y - 1


def tensors(batch=300):
    return [torch.randn(batch, *s, **F64).requires_grad_() for s in ((3, 4), (4,))]


@pytest.fixture(scope="module")
def many():
    found = compiled.kernel(Many(), tensors(), 300)
    assert found is not None
    return found


@pytest.mark.parametrize("parts", [1, 3])
def test_values_and_derivatives_are_those_of_torch(many, parts, monkeypatch):
    monkeypatch.setattr(threads, "number", lambda work: parts)
    given = tensors()
    found, wanted = compiled.call(many, *given), Many()(*given)
    close(found, wanted)
    seeds = [torch.randn_like(out) for out in wanted]
    grads = [torch.autograd.grad(outs, given, seeds) for outs in (found, wanted)]
    close(*grads)


def test_what_is_given_may_lie_in_any_order(many):
    x, y = torch.randn(4, 3, 300, **F64).permute(2, 1, 0), torch.randn(4, 300, **F64).T
    close(compiled.call(many, x, y), Many()(x, y))


def test_equal_numbers_stay_in_order(many):
    x, y = torch.zeros(300, 3, 4, **F64), torch.zeros(300, 4, **F64)
    close(compiled.call(many, x, y), Many()(x, y))


def test_a_second_derivative_is_refused(many):
    given = tensors()
    out = compiled.call(many, *given)[0].sum()
    with pytest.raises(RuntimeError, match=r"gatebook.reference\(\)"):
        torch.autograd.grad(out, given, create_graph=True)


@dataclass(frozen=True)
class Small:
    """Compiled in this test for the first time."""

    name: str

    def __call__(self, x):
        return (x.exp(),)


def test_compiling_draws_no_numbers_and_minds_no_mode(tmp_path, monkeypatch):
    monkeypatch.setenv("GATEBOOK_CACHE", str(tmp_path))
    x, before = torch.rand(300, 2, **F64), torch.get_rng_state()
    with torch.device("meta"), torch.no_grad():
        kernel = compiled.kernel(Small("new"), [x], 300)
    assert torch.equal(torch.get_rng_state(), before)
    close(compiled.call(kernel, x), (x.exp(),))


@dataclass(frozen=True)
class Unknown:
    """An operation that has no print."""

    def __call__(self, x):
        return (torch.special.i0(x),)


def test_where_the_python_must_run():
    given = tensors()
    assert compiled.kernel(Many(), given, 10) is None  # little work
    assert compiled.kernel(Unknown(), given[:1], 300) is None
    half = [x.bfloat16() for x in given]
    assert compiled.kernel(Many(), half, 300) is None
    with reference():
        assert compiled.kernel(Many(), given, 300) is None


NOISY = {"gate": Gate(noise=Gumbel(), gradient=HDetach(0.4)), "memory_gate": "UR"}
ON_WRITE = {"memory_gate": "G2"}


@pytest.mark.parametrize("options", [NOISY, ON_WRITE], ids=["controller", "write"])
def test_a_dnc_computes_the_same_with_and_without(options, monkeypatch):
    x, found = torch.randn(9, 32, 3, **F64), []
    called, call = [], compiled.call
    monkeypatch.setattr(
        compiled, "call", lambda *given: called.append(given) or call(*given)
    )
    for plain in (False, True):
        torch.manual_seed(0)
        core = DNC(3, 4, rows=5, width=3, reads=2, seed=1, **options, **F64)
        with reference() if plain else torch.enable_grad():
            out, state = core(x)
        # Equal rows may come in another order; what is read is the same.
        loss = out.square().sum() + state.usage.square().sum() + state.memory.sum()
        found.append((out, *torch.autograd.grad(loss, list(core.parameters()))))
    assert len(called) == 2 * 9
    close(*found)
