r"""The copying task in both papers' forms.

P2 (UR-LSTM §3.1, D.1), ``form="one-hot"``: ten tokens from 1..8, N blanks (0), ten
markers (9), one-hot; length N + 20; the loss is taken on the last ten steps only.
A model that knows nothing has loss log 8.

P3 (h-detach §4.1), ``form="scalar"``: the same tokens as one float per step; ten
tokens, N - 1 blanks, one delimiter (9), ten blanks; the target is blank until the
last ten steps, and the loss is the mean over all N + 20 steps. The report says
that the first ten are drawn from ten symbols; the published code draws from
eight, and so do we.
"""

import functools
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_choice, check_count, check_integer
from gatebook.random import generator, integers

TOKENS = 10
"""How many tokens are to be remembered."""
SYMBOLS = 8
"""How many different tokens there are: 1..8."""
BLANK, MARKER = 0, 9


@dataclass(frozen=True)
class Copy:
    """Remember ten tokens over a delay.

    Arguments:
        length: N, the delay in steps.
        batch_size: sequences per batch.
        form: ``"one-hot"`` as in P2, ``"scalar"`` as in P3.
        pool: size of the fixed training set that batches are drawn from with
            replacement (P3: 100,000); ``None`` makes fresh sequences (P2).
        seed: decides all batches.
        validation_size: sequences that scores are taken on (P3: 5,000).
    """

    length: int
    batch_size: int = 32
    form: str = "one-hot"
    pool: int | None = None
    seed: int = 0
    validation_size: int = 256

    def __post_init__(self):
        check_integer("seed", self.seed)
        check_choice("form", self.form, ("one-hot", "scalar"))
        for name in ("length", "batch_size", "validation_size"):
            check_count(name, getattr(self, name))
        if self.pool is not None:
            check_count("pool", self.pool)

    @property
    def input_size(self) -> int:
        """Ten for one-hot input, one for scalar input."""
        return MARKER + 1 if self.form == "one-hot" else 1

    @property
    def output_size(self) -> int:
        """Classes 1..8 and the blank; class 0 is the blank."""
        return SYMBOLS + 1

    @property
    def steps_read(self) -> int:
        """The last ten steps, or all of them."""
        return TOKENS if self.form == "one-hot" else self.length + 2 * TOKENS

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Input (N + 20, B, input_size) and target (steps_read, B)."""
        check_integer("step", step)
        if self.pool is None:
            return self._make(_tokens(self.batch_size, self.seed, "train", step))
        g = generator(self.seed, "copy", "choice", step)
        chosen = integers(g, 0, self.pool, self.batch_size)
        return self._make(_pool(self.pool, self.seed)[:, chosen])

    def validation(self) -> list[tuple[Tensor, Tensor]]:
        """Sequences that training never drew, in batches of at most 256."""
        tokens = _tokens(self.validation_size, self.seed, "validation")
        return [self._make(part) for part in tokens.split(256, dim=1)]

    def _make(self, tokens: Int[Tensor, "10 B"]) -> tuple[Tensor, Tensor]:
        batch = tokens.shape[1]
        blanks = tokens.new_full((self.length, batch), BLANK)
        if self.form == "one-hot":
            markers = tokens.new_full((TOKENS, batch), MARKER)
            symbols = torch.cat([tokens, blanks, markers])
            return F.one_hot(symbols, MARKER + 1).float(), tokens
        delimiter = tokens.new_full((1, batch), MARKER)
        after = tokens.new_full((TOKENS, batch), BLANK)
        symbols = torch.cat([tokens, blanks[1:], delimiter, after])
        before = tokens.new_full((self.length + TOKENS, batch), BLANK)
        return symbols[..., None].float(), torch.cat([before, tokens])

    def loss(
        self, prediction: Float[Tensor, "S B K"], target: Int[Tensor, "S B"]
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats over the steps that are read."""
        return F.cross_entropy(prediction.flatten(0, 1), target.flatten())

    def scores(
        self, prediction: Float[Tensor, "S B K"], target: Int[Tensor, "S B"]
    ) -> dict[str, float]:
        """Loss in nats, and accuracy on the ten tokens."""
        right = prediction[-TOKENS:].argmax(-1) == target[-TOKENS:]
        loss = self.loss(prediction, target)
        return {"loss": loss.item(), "accuracy": right.float().mean().item()}

    def baseline(self) -> float:
        """The loss of a model without memory: log 8 on the tokens, 0 elsewhere."""
        return math.log(SYMBOLS) * TOKENS / self.steps_read

    def describe(self) -> dict[str, object]:
        """Everything that decides its numbers except the seed, and its source."""
        return {
            "task": "copy",
            "length": self.length,
            "form": self.form,
            "batch_size": self.batch_size,
            "validation_size": self.validation_size,
            "data_source": "generated" if self.pool is None else f"pool {self.pool}",
        }


@functools.lru_cache(maxsize=16)
def _pool(count: int, seed: int) -> Int[Tensor, "10 pool"]:
    """The fixed training set, made once: P3's is a million tokens."""
    return _tokens(count, seed, "pool")


def _tokens(count: int, *name: object) -> Int[Tensor, "10 B"]:
    g = generator("copy", *name)
    return integers(g, 1, SYMBOLS + 1, TOKENS, count)
