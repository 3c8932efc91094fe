"""Evaluation mode for a while, and back to what each module had."""

import pytest
import torch
from gatebook.modes import evaluating
from torch import nn


def frozen():
    """A model in training, but for one part."""
    model = nn.Sequential(nn.Linear(1, 1), nn.Sequential(nn.Dropout().eval()))
    return model, [m.training for m in model.modules()]


def test_every_module_has_its_mode_again():
    model, before = frozen()
    with evaluating(model):
        assert not any(m.training for m in model.modules())
        assert not torch.is_grad_enabled()
    assert [m.training for m in model.modules()] == before == [True, True, True, False]
    assert torch.is_grad_enabled()


def test_every_module_has_its_mode_again_after_an_error():
    model, before = frozen()
    with pytest.raises(ZeroDivisionError), evaluating(model):
        raise ZeroDivisionError
    assert [m.training for m in model.modules()] == before
    assert torch.is_grad_enabled()
