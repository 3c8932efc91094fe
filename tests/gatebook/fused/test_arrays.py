"""Arrays that are used again, and how much memory waits for it."""

import pytest
import torch
from gatebook import LSTM, fused
from gatebook.fused.cpu import arrays
from gatebook.fused.cpu.arrays import SMALL, Pool

LARGE = SMALL // 4  # numbers of float32


def place(array):
    return array.untyped_storage().data_ptr()


def test_an_array_that_was_given_back_is_taken_again_for_a_size_like_its_own():
    pool = Pool(2**30)
    first = pool.take((10, LARGE), torch.float32)
    pool.give(first)
    again = pool.take((9, LARGE), torch.float32)
    assert again.shape == (9, LARGE) and place(again) == place(first)
    assert place(pool.take((9, LARGE), torch.float32)) != place(first)
    pool.give(again)
    assert place(pool.take((9, LARGE), torch.float64)) != place(first)
    assert place(pool.take((2, LARGE), torch.float32)) != place(first)  # much smaller


def test_small_arrays_do_not_wait():
    pool = Pool(2**30)
    pool.give(pool.take((4, 4), torch.float32))
    assert pool.held == 0 and not pool.waiting


@pytest.mark.parametrize("most", [2**21, 2**23])
def test_many_shapes_hold_no_more_bytes_than_allowed(most):
    pool = Pool(most)
    for count in range(LARGE, 16 * LARGE, LARGE // 3):
        pool.give(pool.take((count,), torch.float32))
        waiting = sum(a.nbytes for each in pool.waiting.values() for a in each)
        assert waiting == pool.held <= most


def test_what_was_used_longest_ago_is_dropped_first():
    pool = Pool(3 * 4 * LARGE)
    kinds = (torch.float32, torch.int32, torch.uint32)
    a, b, c = (pool.take((LARGE,), kind) for kind in kinds)
    for array in (a, b, c):
        pool.give(array)
    pool.give(pool.take((LARGE,), torch.float32))  # used just now
    pool.give(pool.take((LARGE // 2,), torch.float64))
    kept = {dtype for _, dtype in pool.waiting}
    assert kept == {torch.float32, torch.uint32, torch.float64}


def test_an_array_larger_than_all_that_may_wait_is_freed():
    pool = Pool(SMALL)
    pool.give(pool.take((10 * LARGE,), torch.float32))
    assert pool.held == 0


def test_a_large_batch_leaves_memory_behind_that_clear_gives_back():
    fused.clear()
    rnn, x = LSTM(4, 64), torch.randn(200, 32, 4)
    rnn(x)[0].sum().backward()
    assert arrays.pool.held >= 200 * 32 * 5 * 64 * 4  # four blocks and the cell state
    fused.clear()
    assert arrays.pool.held == 0 and not arrays.pool.waiting
