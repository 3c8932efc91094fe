"""How hard the programs of a step are: a function of the step and of chance alone.

Both originals let a curriculum advance when the scores of the model say so. A batch
here depends only on the seed and the step, so all methods read the same programs
and a run that stops continues as it would have: a level lasts ``advance_every``
steps.
"""

from dataclasses import dataclass
from random import Random

from gatebook.errors import check_choice, check_count

NAMES = ("mix", "naive", "combined", "none")
BY_LEVEL = ("naive", "combined")
"""Those that go from level to level."""


@dataclass(frozen=True)
class Curriculum:
    """Draws the length ℓ of a literal and the nesting n.

    Arguments:
        name: ``"mix"`` draws ℓ from 1..L and n from 1..N, independently (P2 D.4);
            ``"none"`` has (L, N) always; ``"naive"`` has the level of the step;
            ``"combined"`` draws around that level.
        length: L.
        nesting: N.
        dialect: ``"sonnet"`` first raises ℓ to L and then n, and its ``"combined"``
            draws up to the level; ``"zaremba"`` takes ℓ back to 1 for each n, and its
            ``"combined"`` is the level with probability 4/5, else ``"mix"``.
        advance_every: steps that a level lasts, with the two curricula that have one.
    """

    name: str
    length: int
    nesting: int
    dialect: str = "sonnet"
    advance_every: int | None = None

    def __post_init__(self):
        check_choice("curriculum", self.name, NAMES)
        if self.name in BY_LEVEL:
            check_count("advance_every", self.advance_every)
        elif self.advance_every is not None:
            raise ValueError(
                f"advance_every is {self.advance_every!r}; allowed: None with the "
                f"curriculum {self.name!r}, which has no levels"
            )

    def draw(self, draw: Random, step: int) -> tuple[int, int]:
        """(ℓ, n) for a program of a step."""
        top = (self.length, self.nesting)
        if self.name == "none":
            return top
        if self.name == "mix":
            return _up_to(draw, top)
        level = self.level(step)
        if self.name == "naive":
            return level
        if self.dialect == "sonnet":
            return _up_to(draw, level)
        return _up_to(draw, top) if draw.randrange(5) == 0 else level

    def level(self, step: int) -> tuple[int, int]:
        """The level of a step, from (1, 1) to (L, N)."""
        assert self.advance_every is not None
        k = step // self.advance_every
        if self.dialect == "sonnet":
            above = max(k - self.length + 1, 0)
            return min(k + 1, self.length), min(1 + above, self.nesting)
        k = min(k, self.length * self.nesting - 1)
        return k % self.length + 1, k // self.length + 1


def _up_to(draw: Random, level: tuple[int, int]) -> tuple[int, int]:
    return 1 + draw.randrange(level[0]), 1 + draw.randrange(level[1])
