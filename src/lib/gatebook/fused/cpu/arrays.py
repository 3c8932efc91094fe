"""Large arrays that are used again."""

import threading
from collections import OrderedDict
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

SMALL = 2**17
"""Bytes below which making an array is cheaper than looking one up."""


class Pool:
    """Arrays that wait to be used again, those used longest ago dropped first.

    The C library hands a large array back to the system when it is freed, and every
    page of the next one is then filled again; that takes as long as the arithmetic.

    Arguments:
        most: bytes that may wait.
    """

    def __init__(self, most: int):
        self.most, self.held, self.lock = most, 0, threading.Lock()
        self.waiting: OrderedDict[Any, list[Tensor]] = OrderedDict()

    def take(self, shape: tuple[int, ...], dtype: torch.dtype) -> Tensor:
        """An array with any content, which serves in every mode."""
        count = 1
        for size in shape:
            count *= size
        if count * dtype.itemsize < SMALL:
            return torch.empty(shape, dtype=dtype, device="cpu")
        whole = self._found(count, dtype)
        if whole is None:
            # One of inference mode could never be saved for a backward pass.
            with torch.inference_mode(False):
                whole = torch.empty(next(_sizes(count)), dtype=dtype, device="cpu")
        array = whole[:count].view(shape)
        array.whole = whole  # type: ignore[attr-defined]
        return array

    def give(self, array: Tensor) -> None:
        """Keep an array of `take` for later, unless it is small or let go."""
        whole = getattr(array, "whole", None)
        if whole is None:
            return
        with self.lock:
            key = (len(whole), whole.dtype)
            self.waiting.setdefault(key, []).append(whole)
            self.waiting.move_to_end(key)
            self.held += whole.nbytes
            while self.held > self.most:
                self._drop()

    def let_go(self, array: Tensor) -> None:
        """Never use an array again, since others may hold it now."""
        array.__dict__.pop("whole", None)

    def clear(self) -> None:
        """Free all that waits."""
        with self.lock:
            self.waiting.clear()
            self.held = 0

    def _found(self, count: int, dtype: torch.dtype) -> Tensor | None:
        """A waiting array that is large enough, and not much larger."""
        with self.lock:
            for size in _sizes(count):
                if self.waiting.get((size, dtype)):
                    return self._remove((size, dtype))
        return None

    def _drop(self) -> None:
        self._remove(next(iter(self.waiting)))

    def _remove(self, key: Any) -> Tensor:
        """Take an array out; a size of which none waits is forgotten."""
        arrays = self.waiting[key]
        array = arrays.pop()
        self.held -= array.nbytes
        if not arrays:
            del self.waiting[key]
        return array


def _sizes(count: int) -> Iterator[int]:
    """Eighths of a power of two, from the first that holds ``count`` numbers.

    An array in this rounding serves batches of changing length. The part of it that
    is not used takes no memory: the system fills a page when it is first touched.
    """
    step = 1 << max(0, count.bit_length() - 4)
    first = -(-count // step)
    for eighths in range(first, first + 8):
        yield eighths * step


pool = Pool(2**30)
