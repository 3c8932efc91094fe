"""How flat the loss is around a model's gates (P1 §3.2): at random and at worst."""

import copy
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from gatebook.compress.forms import Matrix
from gatebook.compress.places import PARTS, Place, layers, shared_once
from gatebook.errors import check_count, check_positive
from gatebook.random import generator


@dataclass(frozen=True)
class Flatness:
    """The loss at a model's weights and around them.

    Attributes:
        loss: at the weights as they are.
        losses: one per random change.
    """

    loss: float
    losses: tuple[float, ...]

    @property
    def mean(self) -> float:
        """Mean loss over the changes."""
        return statistics.fmean(self.losses)

    @property
    def spread(self) -> float:
        """Standard deviation of the loss over the changes, n - 1 below."""
        return statistics.stdev(self.losses)

    @property
    def rise(self) -> float:
        """Mean loss minus the loss without change; 0 where the loss is flat."""
        return self.mean - self.loss


def flatness(
    model: nn.Module,
    loss: Callable[[nn.Module], float | Tensor],
    noise: float,
    draws: int = 10,
    gates: str | Sequence[str] = "own",
    layers: Sequence[str] | None = None,
    seed: int = 0,
) -> Flatness:
    """The loss after random changes of the gates' weights.

    The weight W of a gate becomes W + ε ‖W‖ Z / ‖Z‖ with entries of Z from N(0, 1):
    the change has a random direction and the length ε ‖W‖ (Frobenius norms), so that
    models with weights of different sizes can be compared. W_x and W_h are changed
    separately, biases are not, as in compression. P1 argues with flatness but
    does not measure it.

    Arguments:
        model: is or holds recurrent modules. A copy in evaluation mode is changed.
        loss: the loss of a model, without gradients; it must not draw random numbers.
        noise: ε > 0, the length of the change relative to the weight.
        draws: number of changes, at least 2.
        gates: as for `Rule`, like ``layers``.
        layers: which layers.
        seed: of the changes' own generators. Equal seeds give models of equal
            shapes the same directions.

    Example:
        >>> from gatebook import LSTM
        >>> x = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))
        >>> around = flatness(LSTM(2, 8), lambda m: m(x)[0].square().mean(), 0.1)
        >>> len(around.losses), around.spread > 0
        (10, True)
    """
    check_positive("noise", noise)
    check_count("draws", draws, least=2)
    places = _places(model, gates, layers)
    again = copy.deepcopy(model).eval()
    state = again.state_dict()
    kept = {place: place.read(state) for place in places}
    losses = []
    with torch.no_grad():
        still = float(loss(again))
        for draw in range(draws):
            for place, matrix in kept.items():
                g = generator(seed, "flatness", draw, place.name)
                place.write(state, _changed(matrix, noise, g))
            losses.append(float(loss(again)))
    return Flatness(still, tuple(losses))


def sharpness(
    model: nn.Module,
    loss: Callable[[nn.Module], Tensor],
    noise: float,
    gates: str | Sequence[str] = "own",
    layers: Sequence[str] | None = None,
) -> float:
    """The rise of the loss after one step along its own gradient.

    The weight W of a gate becomes W + ε ‖W‖ G / ‖G‖, where G is the gradient of the
    loss with respect to W. Among all changes whose length in each weight is that of
    `flatness`, this one raises the loss most, to first order. It is the ascent step
    of sharpness-aware minimisation (Foret et al. 2021, eq. 2), taken weight by weight
    and relative to the weight. A weight without a gradient stays.

    Arguments:
        model: is or holds recurrent modules. A copy in evaluation mode is changed.
        loss: the loss of a model as a scalar tensor with a gradient.
        noise: ε > 0, the length of the step relative to the weight.
        gates: as for `Rule`, like ``layers``.
        layers: which layers.

    Returns:
        the loss after the step minus the loss before it.

    Example:
        >>> from gatebook import LSTM
        >>> x = torch.randn(5, 3, 2, generator=torch.Generator().manual_seed(0))
        >>> sharpness(LSTM(2, 8), lambda m: m(x)[0].square().mean(), 0.1) > 0
        True
    """
    check_positive("noise", noise)
    places = _places(model, gates, layers)
    again = copy.deepcopy(model).eval()
    names = sorted({weight for place in places for weight in place.weights})
    own = dict(again.named_parameters(remove_duplicate=False))
    for name in names:
        own[name].requires_grad_()  # of a copy; a frozen weight counts as well
    before = loss(again)
    found = torch.autograd.grad(
        before, [own[name] for name in names], allow_unused=True, materialize_grads=True
    )
    slopes = dict(zip(names, found, strict=True))
    state = again.state_dict()
    for place in places:
        place.write(state, _moved(place.read(state), place.read(slopes), noise))
    with torch.no_grad():
        return (loss(again) - before).item()


def _places(
    model: nn.Module, gates: str | Sequence[str], wanted: Sequence[str] | None
) -> list[Place]:
    every = [
        layer.place((part,), gate)
        for layer in layers(model, wanted)
        for part in PARTS
        for gate in layer.gates(gates)
    ]
    return shared_once(model, every)


def _changed(matrix: Matrix, noise: float, g: torch.Generator) -> Matrix:
    z = torch.randn(matrix.shape, generator=g, dtype=torch.float64)
    return _moved(matrix, z, noise)


def _moved(matrix: Matrix, direction: Matrix, noise: float) -> Matrix:
    """The matrix after a step of ``noise`` times its norm; in float64 on the way."""
    way, start = direction.double(), matrix.double()
    if way.norm() == 0:
        return matrix
    return (start + noise * start.norm() / way.norm() * way).to(matrix.dtype)
