"""The addressing of the DNC: numbers worked by hand, and what always holds."""

import pytest
import torch
from gatebook.memory import addressing

F64 = {"dtype": torch.float64}


def tensor(*rows):
    return torch.tensor(rows, **F64)


def close(found, wanted, **tolerance):
    torch.testing.assert_close(found, wanted, **tolerance)


def weights(*shape):
    """Weights over rows, non-negative with a sum of at most 1."""
    return torch.rand(shape[:-1] + (1,), **F64) * torch.randn(shape, **F64).softmax(-1)


def test_content_is_a_softmax_of_cosines():
    memory = tensor([[3.0, 0.0], [0.0, 2.0], [5.0, 5.0]])
    found = addressing.content(memory, tensor([[0.0, 4.0]]), tensor([2.0]))
    wanted = (2 * tensor([[0.0, 1.0, 0.5**0.5]])).softmax(-1)
    close(found, wanted, atol=1e-6, rtol=0)


def test_content_of_an_empty_memory_is_uniform_and_has_a_gradient():
    memory = torch.zeros(1, 4, 3, requires_grad=True)
    keys = torch.zeros(1, 2, 3, requires_grad=True)
    found = addressing.content(memory, keys, torch.ones(1, 2))
    found[0, 0, 0].backward()
    assert torch.equal(found, torch.full((1, 2, 4), 0.25))
    assert memory.grad.isfinite().all() and keys.grad.isfinite().all()


def test_usage_rises_where_written_and_falls_where_freed():
    u, w = tensor([0.5, 0.0, 0.8]), tensor([0.2, 1.0, 0.0])
    read, free = tensor([[0.0, 0.0, 1.0], [0.0, 0.5, 0.5]]), tensor([1.0, 0.5])
    found = addressing.usage(u, w, read, free)
    close(found, tensor([0.6, 1.0 * (1 - 0.25), 0.0]))


def test_no_gradient_goes_through_the_last_write_into_the_usage():
    u, w = (torch.rand(1, 3).requires_grad_() for _ in "uw")
    addressing.usage(u, w, torch.rand(1, 2, 3), torch.rand(1, 2)).sum().backward()
    assert u.grad.abs().sum() > 0 and w.grad is None


def test_allocation_goes_to_the_least_used_row_first():
    found = addressing.allocation(tensor([0.9, 0.5, 1.0, 0.1]))
    wanted = tensor([0.1 * 0.1 * 0.5, 0.5 * 0.1, 0.0, 0.9])
    close(found, wanted, atol=1e-5, rtol=0)


def test_allocation_sums_to_one_minus_the_product_of_the_usages():
    u = torch.rand(50, 7, **F64)
    found = addressing.allocation(u).sum(-1)
    close(found, 1 - u.prod(-1), atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16, torch.float16])
def test_equal_usages_go_to_the_first_row_in_any_precision(kind):
    found = addressing.allocation(torch.zeros(2, 40, dtype=kind))
    assert found.dtype == kind
    close(found[:, 0].float(), torch.ones(2), atol=1e-5, rtol=0)
    assert (found[:, 1:].float() <= 1e-5).all()


def test_allocation_has_a_gradient_where_rows_are_empty_or_full():
    u = tensor([0.0, 1.0, 0.3, 0.0]).requires_grad_()
    (addressing.allocation(u) * torch.arange(4)).sum().backward()
    assert u.grad.isfinite().all() and (u.grad != 0).all()


def test_a_write_erases_and_adds():
    memory = tensor([[1.0, 2.0], [3.0, 4.0]])
    w, erase, vector = tensor([1.0, 0.5]), tensor([1.0, 0.0]), tensor([7.0, 8.0])
    found = addressing.write(memory, w, erase, vector)
    close(found, tensor([[7.0, 10.0], [1.5 + 3.5, 4.0 + 4.0]]))


def test_links_say_what_was_written_after_what():
    empty, none = torch.zeros(1, 3, 3), torch.zeros(1, 3)
    first, second, third = torch.eye(3).unsqueeze(1)
    links = addressing.links(empty, none, first)
    assert not links.any()
    p = addressing.precedence(none, first)
    links = addressing.links(links, p, second)
    p = addressing.precedence(p, second)
    links = addressing.links(links, p, third)
    assert links[0].nonzero().tolist() == [[1, 0], [2, 1]]
    p = addressing.precedence(p, third)
    # Row 0 is written again: what followed it is forgotten, and it follows row 2.
    assert addressing.links(links, p, first)[0].nonzero().tolist() == [[0, 2], [2, 1]]


def test_half_a_write_makes_half_a_link():
    links = addressing.links(
        tensor([[0.0, 0.0], [0.6, 0.0]]), tensor([0.3, 0.5]), w := tensor([0.5, 0.1])
    )
    close(links, tensor([[0.0, 0.5 * 0.5], [0.4 * 0.6 + 0.1 * 0.3, 0.0]]))
    close(addressing.precedence(tensor([0.3, 0.5]), w), tensor([0.62, 0.3]))


def test_links_stay_substochastic_for_ever():
    links, p = torch.zeros(20, 5, 5, **F64), torch.zeros(20, 5, **F64)
    for _ in range(100):
        w = weights(20, 5)
        links, p = addressing.links(links, p, w), addressing.precedence(p, w)
        assert (links >= 0).all() and (links.diagonal(dim1=1, dim2=2) == 0).all()
        assert (links.sum(2) <= 1 + 1e-12).all()
        assert (links.sum(1) + p <= 1 + 1e-12).all()  # columns, even with p


def test_reading_goes_back_by_content_or_on():
    links = tensor([[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # 0, 1, 2
    at, found = tensor([[0.0, 1.0, 0.0]]), tensor([[0.2, 0.3, 0.5]])
    for mode, wanted in enumerate(([1.0, 0.0, 0.0], [0.2, 0.3, 0.5], [0.0, 0.0, 1.0])):
        modes = torch.eye(3, **F64)[mode].reshape(1, 1, 3)
        close(addressing.read_weights(links, at, found, modes), tensor([wanted]))


def test_read_weights_sum_to_at_most_one():
    links, p = torch.zeros(9, 5, 5, **F64), torch.zeros(9, 5, **F64)
    for _ in range(20):
        links, p = (
            addressing.links(links, p, w := weights(9, 5)),
            addressing.precedence(p, w),
        )
        modes = torch.randn(9, 2, 3, **F64).softmax(-1)
        new = addressing.read_weights(links, weights(9, 2, 5), weights(9, 2, 5), modes)
        assert (new >= 0).all() and (new.sum(-1) <= 1 + 1e-12).all()
