"""Modern cells are called as `gatebook.LSTM` is: layouts, lengths, errors."""

import contextlib

import gatebook
import pytest
import torch
from gatebook import LSTM, record
from gatebook.gates import Constant, Gate, HDetach, Refine
from gatebook.modern import CELLS
from gatebook.modern.cell import each
from torch import nn
from torch.nn.utils.rnn import pack_sequence, pad_packed_sequence

EVERY = pytest.mark.parametrize("name", CELLS)
FEATURES, H = 5, 8
LENGTHS = [[4, 6, 1], [6, 4, 4], [3, 3]]
WAYS = {"compiled": contextlib.nullcontext, "reference": gatebook.reference}


def make(name, std=0.5, **options):
    """A cell all of whose parameters act."""
    cell = CELLS[name](FEATURES, H, seed=0, **{"dtype": torch.float64} | options)
    with torch.no_grad():
        for p in cell.parameters():
            p.add_(std * torch.randn_like(p))
    return cell


def leaves(state):
    return state if isinstance(state, tuple) else (state,)


def assert_close(ones, others):
    for a, b in zip(leaves(ones), leaves(others), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-10)


def batch_of(lengths):
    return [torch.randn(n, FEATURES, dtype=torch.float64) for n in lengths]


def started(cell, batch):
    """A state that is not zero, for each example."""
    return cell(torch.randn(2, batch, FEATURES, dtype=torch.float64))[1]


def gradients(cell, outputs, states, inputs):
    total = sum(part.sin().sum() for part in [*outputs, *states])
    wanted = [*inputs, *cell.parameters()]
    return torch.autograd.grad(total, wanted, allow_unused=True)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("lengths", LENGTHS)
@EVERY
def test_a_packed_batch_is_its_sequences_one_by_one(name, lengths, way):
    cell = make(name)
    sequences = [x.requires_grad_() for x in batch_of(lengths)]
    before = each(lambda part: part.detach(), started(cell, len(lengths)))
    with WAYS[way]():
        packed = pack_sequence(sequences, enforce_sorted=False)
        output, last = cell(packed, before)
        padded, found = pad_packed_sequence(output)
        ours = [padded[:n, k] for k, n in enumerate(found)]
        of_ours = gradients(cell, ours, leaves(last), sequences)
        alone = [
            cell(x, each(lambda part, k=k: part[k], before))
            for k, x in enumerate(sequences)
        ]
        theirs = [output for output, _ in alone]
        ends = [torch.stack(p) for p in zip(*(leaves(s) for _, s in alone))]  # noqa: B905
        of_theirs = gradients(cell, theirs, ends, sequences)
    assert found.tolist() == lengths
    assert_close(tuple(ours), tuple(theirs))
    assert_close(last if isinstance(last, tuple) else (last,), tuple(ends))
    assert_close(of_ours, of_theirs)


SLSTMS = [
    Gate(Constant(1.0), Refine("zero")),
    Gate(Constant(1.0), gradient=HDetach(1.0)),
]


@pytest.mark.parametrize("gate", SLSTMS)
def test_a_packed_batch_with_gates_that_read_h(gate):
    cell, sequences = make("sLSTM", gate=gate), batch_of([2, 5])
    last = cell(pack_sequence(sequences, enforce_sorted=False))[1]
    alone = [cell(x)[1] for x in sequences]
    assert_close(last, tuple(torch.stack(parts) for parts in zip(*alone, strict=True)))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["mLSTM", "sLSTM"])
def test_exponential_gates_hold_their_state_behind_the_end(name, dtype):
    cell = make(name, std=20.0, dtype=dtype)
    short, long = (x.to(dtype) for x in batch_of([3, 60]))
    last = cell(pack_sequence([short, long], enforce_sorted=False))[1]
    for part, alone in zip(last, cell(short)[1], strict=True):
        # float32 rounds in another order where the batch has another shape.
        loose = {"rtol": 2e-5, "atol": 1e-5} if dtype == torch.float32 else {}
        torch.testing.assert_close(part[0], alone, **loose)
        assert part.isfinite().all()


@EVERY
def test_a_nan_in_a_packed_batch_stays_in_its_sequence(name):
    cell, sequences = make(name), batch_of([2, 5, 4])
    clean = cell(pack_sequence(sequences, enforce_sorted=False))[1]
    sequences[1][0] = torch.nan
    seen = cell(pack_sequence(sequences, enforce_sorted=False))[1]
    for part, other in zip(leaves(seen), leaves(clean), strict=True):
        assert torch.equal(part[[0, 2]], other[[0, 2]])


@EVERY
def test_packed_sequences_have_packed_gates_without_padding(name):
    cell, lengths = make(name), [2, 5]
    sequences = batch_of(lengths)
    with record(cell) as gates:
        cell(pack_sequence(sequences, enforce_sorted=False))
        packed = gates["l0"]["effective_forget"]
    padded, found = pad_packed_sequence(packed)
    assert found.tolist() == lengths
    for k, x in enumerate(sequences):
        with record(cell) as gates:
            cell(x)
        alone = gates["l0"]["effective_forget"]
        assert_close(padded[: len(x), k], alone[:, 0])


@EVERY
def test_batch_first_turns_input_and_output_alone(name):
    cell, x = make(name), torch.randn(6, 3, FEATURES, dtype=torch.float64)
    turned = make(name, batch_first=True)
    turned.load_state_dict(cell.state_dict())
    output, last = cell(x)
    found, state = turned(x.transpose(0, 1))
    assert_close(found, output.transpose(0, 1))
    assert_close(state, last)
    # A sequence alone, one step, and packed sequences have no batch to put first.
    assert_close(turned(x[:, 0])[0], output[:, 0])
    assert_close(turned.step(x[0])[0], output[0])
    packed = pack_sequence(list(x.unbind(1)))
    assert_close(turned(packed)[0].data, cell(packed)[0].data)


@EVERY
def test_a_sequence_without_a_batch_is_a_batch_of_one(name):
    cell, x = make(name), torch.randn(6, FEATURES, dtype=torch.float64)
    output, last = cell(x)
    expected, state = cell(x[:, None])
    assert_close(output, expected[:, 0])
    assert_close(last, each(lambda part: part[0], state))
    outputs, state = [], None
    for x_t in x:
        output, state = cell.step(x_t, state)
        outputs.append(output)
    assert_close(torch.stack(outputs), expected[:, 0])
    assert_close(state, last)
    with pytest.raises(ValueError, match="has shape"):
        cell(x[:, None], last)
    with pytest.raises(ValueError, match="has shape"):
        cell(x, cell(x[:, None])[1])


@pytest.mark.parametrize("way", WAYS)
@EVERY
def test_a_state_is_no_part_of_the_output(name, way):
    cell, x = make(name), torch.randn(4, 2, FEATURES, dtype=torch.float64)
    with torch.no_grad(), WAYS[way]():
        for run, given in ((cell, x), (cell.step, x[0]), (cell, x[:, 0])):
            output, last = run(given)
            before = output.clone()
            each(lambda part: part.zero_(), last)
            assert torch.equal(output, before)


@EVERY
def test_a_state_that_is_set_back_leaves_the_gradient(name):
    cell = make(name)
    output, last = cell(torch.randn(4, 2, FEATURES, dtype=torch.float64))
    each(lambda part: part.detach().zero_(), last)
    output.sum().backward()


WRONG = {
    "another width": torch.zeros(6, 3, FEATURES + 1),
    "no batch, another width": torch.zeros(6, FEATURES + 1),
    "four axes": torch.zeros(1, 6, 3, FEATURES),
    "no step": torch.zeros(3, 0, FEATURES),
    "another dtype": torch.zeros(3, 6, FEATURES, dtype=torch.float64),
    "another device": torch.zeros(3, 6, FEATURES, device="meta"),
    "nested": torch.nested.nested_tensor(
        [torch.zeros(2, FEATURES)], layout=torch.jagged
    ),
}


def message(function, *given):
    with pytest.raises((TypeError, ValueError)) as error:
        function(*given)
    return type(error.value), str(error.value)


@EVERY
def test_errors_are_those_of_an_lstm(name):
    ours = CELLS[name](FEATURES, H, batch_first=True)
    theirs = LSTM(FEATURES, H, batch_first=True)
    for wrong in WRONG.values():
        assert message(ours, wrong) == message(theirs, wrong)
    packed = pack_sequence([torch.zeros(2, FEATURES + 1)])
    assert message(ours, packed) == message(theirs, packed)
    for step in (torch.zeros(3, FEATURES + 1), torch.zeros(1, 3, FEATURES)):
        assert message(ours.step, step) == message(theirs.step, step)


@EVERY
def test_anything_but_tensors_is_refused(name):
    cell, packed = make(name), pack_sequence([torch.zeros(2, FEATURES)])
    for run, wrong in [(cell, [1.0]), (cell.step, [1.0]), (cell.step, packed)]:
        with pytest.raises(TypeError, match="input"):
            run(wrong)
    with pytest.raises(TypeError, match="batch_first"):
        make(name, batch_first=1)


def test_a_model_with_a_cell_learns_from_packed_sequences():
    cell = CELLS["minGRU"](FEATURES, H, batch_first=True)
    head = nn.Linear(H, 1)
    packed = pack_sequence([torch.ones(2, FEATURES), torch.ones(1, FEATURES)])
    head(cell(packed)[1]).sum().backward()
    assert all(p.grad is not None for p in cell.parameters())
