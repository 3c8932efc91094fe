"""`torch.compile` and strict export; `test_operator` runs this without type checks."""

import pytest
import torch
from gatebook import GRU, LSTM, reference

KINDS = pytest.mark.parametrize("kind", [LSTM, GRU])
SIZES = (7, 3, 5)


def first(result):
    """The outputs and all states, flat."""
    output, states = result
    return [output, *(states if isinstance(states, tuple) else (states,))]


@pytest.fixture
def compiled():
    """`torch.compile` as one graph, without a backend that compiles C++."""
    torch._dynamo.reset()
    yield lambda model: torch.compile(model, fullgraph=True, backend="aot_eager")
    torch._dynamo.reset()


@KINDS
def test_a_compiled_module_is_one_graph(kind, compiled):
    rnn, x = kind(5, 8, gate="UR", num_layers=2), torch.randn(SIZES)
    fast = compiled(rnn)
    for steps in (7, 9, 11):  # the third may not compile again
        x = torch.randn(steps, 3, 5)
        assert all(map(torch.equal, first(fast(x)), first(rnn(x))))
    y, z = fast(x)[0], rnn(x)[0]
    ours, plain = (
        torch.autograd.grad(out.square().sum(), rnn.parameters()) for out in (y, z)
    )
    assert all(map(torch.equal, ours, plain))


def test_a_compiled_function_keeps_gates_apart(compiled):
    def both(rnn, x):
        return rnn(x)[0]

    fast, x = compiled(both), torch.randn(SIZES)
    one, two = LSTM(5, 8, gate="LSTM0", seed=0), LSTM(5, 8, gate="O", seed=0)
    for rnn in (one, two, one):
        torch.testing.assert_close(fast(rnn, x), rnn(x)[0])


@KINDS
def test_strict_export_has_one_node_and_any_length(kind):
    rnn, x = kind(5, 8, gate="UR").eval(), torch.randn(SIZES)
    sizes = {0: torch.export.Dim("steps"), 1: torch.export.Dim("batch")}
    program = torch.export.export(
        rnn, (x,), dynamic_shapes={"input": sizes}, strict=True
    )
    names = [str(node.target) for node in program.graph.nodes]
    assert names.count("gatebook.scan.default") == 1
    longer = torch.randn(31, 4, 5)
    assert torch.equal(program.module()(longer)[0], rnn(longer)[0])


def test_under_reference_the_loop_is_compiled():
    graphs = []

    def backend(graph, inputs):
        graphs.append(graph)
        return graph

    torch._dynamo.reset()
    rnn, x = LSTM(3, 4, gate="UR").eval(), torch.randn(2, 1, 3)
    with reference():
        y, _ = torch.compile(rnn, fullgraph=True, backend=backend)(x)
    assert "scan" not in graphs[0].code
    torch.testing.assert_close(y, rnn(x)[0])
