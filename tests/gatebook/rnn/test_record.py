"""The recorder sees every gate of every layer, and lets go."""

import pytest
import torch
from gatebook import GRU, LSTM, Gate, record
from gatebook.gates import Constant
from gatebook.rnn.record import unit_means
from torch import nn


def test_layers_directions_and_gates_by_name():
    model = LSTM(2, 16, 2, bidirectional=True, gate="OM")
    with record(model) as gates:
        model(torch.randn(5, 3, 2))
    assert sorted(gates) == ["l0", "l0_reverse", "l1", "l1_reverse"]
    assert sorted(gates["l0"]) == [
        "effective_forget",
        "effective_input",
        "forget",
        "master_forget",
        "output",
    ]
    assert all(v.shape == (5, 3, 16) for v in gates["l1_reverse"].values())


def test_a_gru_has_a_reset_gate_and_ur_a_refine_gate():
    model = GRU(2, 4, gate="UR")
    with record(model) as gates:
        model(torch.randn(5, 3, 2))
    assert {"reset", "refine", "effective_forget"} <= set(gates["l0"])


def test_values_carry_no_gradient_and_noise_is_in_them():
    model = LSTM(2, 4, gate="G2", seed=0)
    with record(model) as noisy:
        model(torch.zeros(5, 3, 2))
    with record(model.eval()) as quiet:
        model(torch.zeros(5, 3, 2))
    assert not noisy["l0"]["forget"].requires_grad
    assert not torch.equal(noisy["l0"]["forget"], quiet["l0"]["forget"])


def test_recording_ends_with_the_block_even_after_an_error():
    model = LSTM(2, 4)
    with pytest.raises(RuntimeError, match="stop"), record(model):
        raise RuntimeError("stop")
    assert model.recorder is None


def test_a_model_must_hold_one_recurrent_module():
    with pytest.raises(ValueError, match="holds 0"), record(nn.Linear(2, 2)):
        pass
    two = nn.ModuleList([LSTM(2, 2), LSTM(2, 2)])
    with pytest.raises(ValueError, match="holds 2"), record(two):
        pass


def test_unit_means_average_over_time_and_batch():
    model = LSTM(2, 4, gate="UR").train()
    x = torch.randn(5, 3, 2)
    with record(model.eval()) as gates:
        model(x)
    model.train()
    expected = gates["l0"]["effective_forget"].mean((0, 1))
    assert unit_means(model, x) == pytest.approx(expected.tolist())
    assert model.training
    with pytest.raises(ValueError, match="mean 'refine'"):
        unit_means(model, x, "refin")


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("lengths", [[6, 4, 1], [1, 6, 4]])
def test_packed_sequences_have_packed_gates_without_padding(kind, lengths):
    model = kind(2, 5, 2, gate="UR", bidirectional=True).eval()
    sequences = [torch.randn(n, 2) for n in lengths]
    packed = nn.utils.rnn.pack_sequence(sequences, enforce_sorted=False)
    with record(model) as gates:
        out, _ = model(packed)
    assert gates["l1_reverse"]["refine"].batch_sizes.equal(out.batch_sizes)
    for name, values in gates["l0_reverse"].items():
        assert values.data.shape == (sum(lengths), 5)
        padded, _ = nn.utils.rnn.pad_packed_sequence(values)
        for k, x in enumerate(sequences):
            with record(model) as alone:
                model(x)
            one = alone["l0_reverse"][name][:, 0]
            torch.testing.assert_close(padded[: len(x), k], one)


def test_unit_means_of_packed_sequences_count_real_steps_only():
    model, sequences = LSTM(2, 4), [torch.randn(n, 2) for n in (6, 1)]
    means = unit_means(model, nn.utils.rnn.pack_sequence(sequences))
    each = torch.tensor([unit_means(model, x[:, None]) for x in sequences])
    expected = (6 * each[0] + each[1]) / 7
    assert means == pytest.approx(expected.tolist())


def test_a_recording_inside_another_gives_way_to_it_again():
    model, x = LSTM(2, 4), torch.randn(5, 3, 2)
    with record(model) as outer:
        unit_means(model, x)
        assert not outer  # the inner one had that pass
        model(x)
    assert list(outer) == ["l0"] and model.recorder is None


def test_unit_means_leave_every_module_in_its_mode_after_an_error_too():
    model = nn.Sequential(nn.Dropout(), LSTM(2, 4))
    model[0].eval()  # frozen by the user
    unit_means(model, torch.randn(5, 3, 2))
    with pytest.raises(ValueError, match="input_size 2"):
        unit_means(model, torch.randn(5, 3, 7))
    assert [m.training for m in model] == [False, True] and model.training
    assert model[1].recorder is None


def test_a_reverse_direction_is_recorded_as_it_was_computed():
    model = LSTM(2, 4, bidirectional=True, gate="UR").eval()
    for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
        forward = getattr(model, f"{name}_l0")
        getattr(model, f"{name}_l0_reverse").data.copy_(forward)
    x = torch.randn(5, 3, 2)
    with record(model) as gates:
        model(x)
    with record(model) as flipped:
        model(x.flip(0))
    for name, value in gates["l0_reverse"].items():
        torch.testing.assert_close(value, flipped["l0"][name])


@pytest.mark.parametrize("kind", [LSTM, GRU])
@pytest.mark.parametrize("cast", [False, True])
def test_half_precision_gives_the_same_with_and_without(kind, cast):
    """A state that is rounded at each step would drift from the other one's."""
    dtype = torch.float32 if cast else torch.bfloat16
    model = kind(2, 16, gate=Gate(Constant(6.0)), dtype=dtype).eval()
    x = torch.randn(300, 3, 2, dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=cast):
        wanted = model(x)[0]
        with record(model) as gates:
            found = model(x)[0]
    assert found.dtype == wanted.dtype
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-2)
    assert gates["l0"]["effective_forget"].shape == (300, 3, 16)
