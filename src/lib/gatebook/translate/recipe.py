"""How a translation model is trained."""

from dataclasses import dataclass

from gatebook.errors import (
    check_choice,
    check_count,
    check_fraction,
    check_positive,
)

OPTIMIZERS = ("Adam", "AdaDelta")
LOSSES = ("tokens", "sentences")


@dataclass(frozen=True)
class Recipe:
    """Everything that decides a training run except the model and the pairs.

    Arguments:
        updates: gradient steps.
        tokens: at most this many places on a batch's longer side, padding included.
        sentences: at most this many pairs in a batch; ``None`` for no limit.
        optimizer: ``"Adam"`` or ``"AdaDelta"`` with ρ = 0.95 and ε = 10⁻⁷, which are
            the constants of P1's code.
        learning_rate: at the start.
        decay: share of the updates, the last ones, over which the rate falls to 0 on a
            straight line.
        clip: the gradient's norm is cut to this.
        loss: what is averaged over a batch: the losses of ``"tokens"``, or those of
            ``"sentences"``, each the sum over its tokens, as in P1's code. With
            the sum nearly every update is clipped.
        checks: validations in all, evenly spaced, the last at the end.

    Raises:
        ValueError: for a count below 1, an unknown name, or a rate out of range.
    """

    updates: int
    tokens: int = 2000
    sentences: int | None = None
    optimizer: str = "Adam"
    learning_rate: float = 3e-3
    decay: float = 0.4
    clip: float = 2.0
    loss: str = "tokens"
    checks: int = 4

    def __post_init__(self):
        for name in ("updates", "tokens", "checks"):
            check_count(name, getattr(self, name))
        if self.sentences is not None:
            check_count("sentences", self.sentences)
        check_choice("optimizer", self.optimizer, OPTIMIZERS)
        check_choice("loss", self.loss, LOSSES)
        check_positive("learning_rate", self.learning_rate)
        check_fraction("decay", self.decay)
        check_positive("clip", self.clip)

    def rate(self, update: int) -> float:
        """The learning rate of an update, counted from 0."""
        left = (self.updates - update) / self.updates
        share = min(1.0, left / self.decay) if self.decay else 1.0
        return self.learning_rate * share

    def is_check(self, update: int) -> bool:
        """Whether there is a validation after this many updates."""
        done = update * self.checks // self.updates
        return done > (update - 1) * self.checks // self.updates


def paper_recipe(updates: int) -> Recipe:
    """P1's recipe for German to English (§4.1.2, and its code's constants)."""
    return Recipe(
        updates,
        tokens=10**6,
        sentences=32,
        optimizer="AdaDelta",
        learning_rate=1.0,
        decay=0.0,
        loss="sentences",
    )
