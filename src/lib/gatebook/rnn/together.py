"""Several modules of one size, each on its own input, side by side."""

from collections.abc import Sequence

from torch import Tensor

from gatebook.rnn import stack
from gatebook.rnn.module import RNN


def fit_each_other(modules: Sequence[RNN], inputs: Sequence[Tensor]) -> bool:
    """Whether sizes and shapes are equal, so that `together` takes them."""
    return len({m.sizes() for m in modules}) == len({x.shape for x in inputs}) == 1


def together(modules: Sequence[RNN], inputs: Sequence[Tensor]) -> list[Tensor]:
    """The outputs of several modules, each on its own input, from zero states.

    The numbers are those of ``module(input)[0]``. On a GPU, modules whose gates have
    the same step run as one batch of models, which costs little more than one.

    Arguments:
        modules: of one type, with equal sizes, layers and directions.
        inputs: one for each module, of equal shapes, (T, B, input_size) or as
            ``batch_first`` has it.

    Raises:
        ValueError: for modules or inputs of different shapes.
    """
    if not fit_each_other(modules, inputs):
        raise ValueError(
            f"modules are {[repr(m) for m in modules]} and inputs "
            f"{[tuple(x.shape) for x in inputs]}; allowed: equal sizes"
        )
    for module, x in zip(modules, inputs, strict=True):
        module.check_input(x)
    first = modules[0].batch_first
    xs = [x.transpose(0, 1) if first else x for x in inputs]
    zeros = [
        m.state(None, x, x.shape[1:-1], "h_0") for m, x in zip(modules, xs, strict=True)
    ]
    found = stack.run([m.layers() for m in modules], xs, zeros, zeros)
    return [out.transpose(0, 1) if first else out for out, _, _ in found]
