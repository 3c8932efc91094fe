"""The frame around cells: causal, of one size, and with every weight in use."""

import pytest
import torch
from gatebook import GRU, LSTM
from gatebook_book.studies.blocks import Blocks


def make(kind=LSTM, **options):
    torch.manual_seed(0)
    return Blocks(5, 16, lambda i, h, k: kind(i, h), **options)


@pytest.mark.parametrize("convolution", [False, True])
def test_no_step_sees_a_later_one(convolution):
    model = make(convolution=convolution)
    x = torch.randn(9, 2, 5)
    changed = torch.cat([x[:6], torch.randn(3, 2, 5)])
    first, second = model(x)[0], model(changed)[0]
    torch.testing.assert_close(first[:6], second[:6])
    assert (first[6:] - second[6:]).abs().amax((1, 2)).min() > 1e-3


def test_the_convolution_sees_four_steps():
    layer = make(convolution=True).blocks[0].convolution
    x = torch.randn(8, 1, 16, requires_grad=True)
    layer(x)[6].sum().backward()
    seen = x.grad.abs().sum((1, 2)) > 0
    assert seen.tolist() == [k in (3, 4, 5, 6) for k in range(8)]


def test_models_with_different_cells_have_equal_sizes():
    sizes = [sum(p.numel() for p in make(k).parameters()) for k in (LSTM, GRU)]
    assert max(sizes) < 1.05 * min(sizes)
    assert sizes[0] > 2 * 11 * 16**2


def test_every_weight_learns():
    model = make(convolution=True)
    model(torch.randn(6, 3, 5))[0].square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in model.parameters())


def test_each_block_gets_its_number():
    seen = []
    Blocks(3, 8, lambda i, h, k: seen.append((i, h, k)) or GRU(i, h), blocks=3)
    assert seen == [(8, 8, 0), (8, 8, 1), (8, 8, 2)]


def test_a_cell_that_leaves_nothing_is_refused():
    with pytest.raises(ValueError, match=r"^blocks is 0; allowed"):
        make(blocks=0)
    with pytest.raises(ValueError, match=r"the MLP's width is -?\d+; allowed"):
        Blocks(5, 16, lambda i, h, k: LSTM(i, h, num_layers=2))
