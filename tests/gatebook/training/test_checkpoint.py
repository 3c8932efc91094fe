"""Checkpoints: all comes back, and what is damaged or another's is refused."""

import numpy as np
import pytest
import torch
from gatebook import LSTM
from gatebook.checked import write_checked
from gatebook.training.checkpoint import (
    CheckpointError,
    load_checkpoint,
    parts,
    progress_of,
    save_checkpoint,
)
from safetensors import safe_open
from safetensors.torch import save_file


@pytest.fixture
def trained(tmp_path):
    """A model and its optimiser after one step, and the file that holds both."""
    model = LSTM(2, 4, gate="G2", seed=0)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(3, 2, 2))[0].sum().backward()
    optimizer.step()
    path = tmp_path / "c.safetensors"
    progress = {"step": 1, "curves": {"loss": [0.5]}}
    save_checkpoint(path, model, optimizer, progress, parts(model))
    return model, optimizer, path


def load_into(path, model):
    optimizer = torch.optim.Adam(model.parameters())
    return load_checkpoint(path, model, optimizer, parts(model)), optimizer


def test_everything_comes_back_and_nothing_is_pickled(trained):
    model, optimizer, path = trained
    noise, chance = model(torch.ones(3, 2, 2))[0], torch.rand(3)

    twin = LSTM(2, 4, gate="G2", seed=9)
    progress, later = load_into(path, twin)
    assert progress == {"step": 1, "curves": {"loss": [0.5]}}
    assert torch.equal(twin(torch.ones(3, 2, 2))[0], noise)
    assert torch.equal(torch.rand(3), chance)
    before, after = optimizer.state_dict()["state"], later.state_dict()["state"]
    assert before.keys() == after.keys() and before
    for index, state in before.items():
        for key, value in state.items():
            assert torch.equal(value, after[index][key])
    with safe_open(path, "pt") as file:
        assert "model.weight_ih_l0" in file.keys()  # noqa: SIM118


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU here")
def test_the_gpus_random_state_comes_back(tmp_path):
    model = LSTM(2, 4, device="cuda")
    optimizer, path = torch.optim.Adam(model.parameters()), tmp_path / "c.safetensors"
    save_checkpoint(path, model, optimizer, {}, {})
    expected = torch.rand(3, device="cuda")
    load_checkpoint(path, model, optimizer, {})
    assert torch.equal(torch.rand(3, device="cuda"), expected)


def test_the_progress_is_read_alone_and_checked(trained, tmp_path):
    path = trained[2]
    assert progress_of(path) == {"step": 1, "curves": {"loss": [0.5]}}
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError, match="sum is another; delete it to start"):
        progress_of(path)
    with pytest.raises(CheckpointError, match=r"none.safetensors is missing"):
        progress_of(tmp_path / "none.safetensors")


def test_every_altered_byte_is_noticed(trained):
    model, _, path = trained
    whole = path.read_bytes()
    for place in {*range(0, len(whole), 61), 7, 8, len(whole) - 1}:
        altered = bytearray(whole)
        altered[place] ^= 1
        path.write_bytes(altered)
        with pytest.raises(CheckpointError, match="delete it to start anew") as error:
            load_into(path, model)
        assert str(path) in str(error.value)


def test_an_altered_weight_is_noticed_before_anything_is_put_back(trained):
    model, _, path = trained
    raw = path.read_bytes()
    weight = model.weight_ih_l0.detach().numpy().tobytes()
    assert raw.count(weight) == 1
    path.write_bytes(raw.replace(weight, bytes(len(weight))))
    twin = LSTM(2, 4, gate="G2", seed=9)
    before = twin.weight_hh_l0.clone()
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_into(path, twin)
    assert torch.equal(twin.weight_hh_l0, before)


def test_a_checkpoint_cut_short_gives_a_clear_error(trained):
    model, _, path = trained
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], whole[:-1], b"", b"x" * 100):
        path.write_bytes(content)
        with pytest.raises(CheckpointError, match="delete it to start anew"):
            load_into(path, model)


def test_a_file_of_someone_elses_is_refused(trained, tmp_path):
    path = tmp_path / "theirs.safetensors"
    save_file(trained[0].state_dict(), path)  # has no header of ours
    with pytest.raises(CheckpointError, match="SHA-256"):
        load_into(path, trained[0])


def test_a_missing_file_and_a_folder_give_a_clear_error(trained, tmp_path):
    with pytest.raises(CheckpointError, match=r"none.safetensors is missing"):
        load_into(tmp_path / "none.safetensors", trained[0])
    with pytest.raises(CheckpointError, match="cannot be read"):
        load_into(tmp_path, trained[0])


def test_another_gate_of_equal_shapes_is_refused(trained):
    other = LSTM(2, 4, gate="LSTM")
    before = other.weight_ih_l0.clone()
    with pytest.raises(ValueError, match=r"model is LSTM.*made with LSTM.*Gumbel"):
        load_into(trained[2], other)
    assert torch.equal(other.weight_ih_l0, before)


def test_other_shapes_are_refused(trained):
    other = LSTM(2, 5, gate="G2")
    optimizer = torch.optim.Adam(other.parameters())
    with pytest.raises(CheckpointError, match="(?s)cannot be used.*size mism"):
        load_checkpoint(trained[2], other, optimizer, parts(trained[0]))


def test_parts_are_named_by_their_place():
    model = torch.nn.Sequential(LSTM(2, 4, num_layers=2), torch.nn.Linear(4, 1))
    found = parts(model)
    assert list(found) == ["model.0", "model.1"]
    assert found["model.0"].startswith("LSTM(2, 4, gate=Gate(")
    assert found["model.0"].endswith("num_layers=2)")
    assert list(parts(LSTM(2, 4))) == ["model"]


def test_numbers_of_numpy_come_back_as_numbers(tmp_path):
    model, path = LSTM(2, 4), tmp_path / "c.safetensors"
    optimizer = torch.optim.Adam(model.parameters())
    made_with = {"steps": np.int64(3), "rate": np.float32(1e-3)}
    save_checkpoint(path, model, optimizer, {"step": np.int64(1)}, made_with)
    assert load_checkpoint(path, model, optimizer, made_with) == {"step": 1}


def test_a_checked_file_of_another_kind_is_no_checkpoint(tmp_path):
    path = tmp_path / "other.safetensors"
    write_checked(path, {"a": torch.zeros(1)}, {"format": "something else"})
    with pytest.raises(CheckpointError, match="other.safetensors is no checkpoint"):
        load_into(path, LSTM(2, 4))
    with pytest.raises(CheckpointError, match="is no checkpoint"):
        progress_of(path)
