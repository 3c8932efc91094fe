"""An agent's network: an encoder, a recurrent core, a policy and a value."""

import inspect
import math
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from gatebook.agents.rma import RMA
from gatebook.errors import check_choice, check_count
from gatebook.match.features import FEATURES, PIXELS
from gatebook.match.rooms import MOVES
from gatebook.memory import DNC, RMC
from gatebook.rnn import GRU, LSTM

HEAD = 128
"""Units of the hidden layer in each head."""
RECONSTRUCTION = 0.1
"""Weight of an RMA's own loss: the scale of the rewards, which it had at scale 1."""


@runtime_checkable
class Core(Protocol):
    """What stands between encoder and heads: `gatebook.LSTM`, or what is called as it.

    ``state`` is whatever the core gives back; ``None`` begins an episode.
    """

    def __call__(self, x: Tensor, state: Any = None, /) -> tuple[Tensor, Any]:
        """From (T, B, I) to (T, B, O), and the last state."""

    def step(self, x: Tensor, state: Any = None, /) -> tuple[Tensor, Any]:
        """One step, from (B, I) to (B, O)."""


class Said(NamedTuple):
    """What a network says at each step.

    Attributes:
        logits: of the actions, (T, B, A).
        values: the return that it expects, (T, B).
        own: a loss of the network's own, which is added to that of the agent; 0 for
            most.
    """

    logits: Float[Tensor, "T B A"]
    values: Float[Tensor, "T B"]
    own: Float[Tensor, ""] | float = 0.0


class Network(nn.Module):
    """Encoder, core, and two heads that read the core's output and the encoder's.

    Which way the remembered colour lies is a matter of memory and picture together,
    so that each head has a hidden layer.

    Arguments:
        core: a recurrent module, time first, in one direction.
        input_size: features of a picture.
        code: units of the encoder, which are the core's input.
        actions: how many there are.

    Raises:
        ValueError: for less than one action, or a core of another shape.

    Example:
        >>> network = Network(LSTM(64, 32, gate="UR"))
        >>> network(torch.zeros(7, 3, 80)).logits.shape
        torch.Size([7, 3, 4])
    """

    core: Core

    def __init__(
        self,
        core: Core,
        input_size: int = FEATURES,
        code: int = 64,
        actions: int = len(MOVES),
    ):
        super().__init__()
        check_count("actions", actions)
        _check_core(core, code)
        self.encoder = nn.Linear(input_size, code)
        nn.init.orthogonal_(self.encoder.weight, math.sqrt(2))
        nn.init.zeros_(self.encoder.bias)
        self.core = core  # an nn.Module, so that its weights are found
        width = output_width(core) + code
        self.value = _head(width, nn.Linear(HEAD, 1))
        chooses = nn.Linear(HEAD, actions)
        with torch.no_grad():  # nearly uniform actions at the start
            chooses.weight.mul_(0.1)
        nn.init.zeros_(chooses.bias)
        self.policy = _head(width, chooses)
        self.decoder: nn.Linear | None = None
        if isinstance(core, RMA):
            self.decoder = nn.Linear(core.width, input_size)

    def forward(self, x: Float[Tensor, "T B I"], state: Any = None) -> Said:
        """Policy and value at each step of a whole sequence.

        Arguments:
            x: pictures and what goes with them, see `gatebook.match.encode`.
            state: the core's before the first step; ``None`` at an episode's start.
        """
        code = F.relu(self.encoder(x))
        out, _ = self.core(code, state)
        both = torch.cat([out, code], -1)
        return Said(self.policy(both), self.value(both)[..., 0], self._own(x, out))

    def _own(self, x: Tensor, out: Tensor) -> Tensor | float:
        """The loss of an RMA: what was seen, done and earned must be in its code."""
        if self.decoder is None or not isinstance(self.core, RMA):
            return 0.0
        return RECONSTRUCTION * reconstruction(self.decoder(self.core.latent(out)), x)

    def step(
        self, x: Float[Tensor, "B I"], state: Any = None
    ) -> tuple[Float[Tensor, "B A"], Any]:
        """The actions' logits at one step, and the core's new state."""
        code = F.relu(self.encoder(x))
        out, state = self.core.step(code, state)
        return self.policy(torch.cat([out, code], -1)), state


def _check_core(core: Any, code: int) -> None:
    """Raise ``ValueError`` for a core that would learn something else than it acts."""
    for name in ("batch_first", "bidirectional"):
        if getattr(core, name, False):
            raise ValueError(
                f"core.{name} is True; allowed: False, since an agent acts step by step"
            )
    width = getattr(core, "input_size", code)
    if width != code:
        raise ValueError(f"core.input_size is {width}; allowed: code, which is {code}")


def _head(width: int, last: nn.Linear) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, HEAD), nn.ReLU(), last)


def output_width(core: Any) -> int:
    """How many numbers a core outputs at each step."""
    return int(getattr(core, "output_width", None) or core.hidden_size)


def reconstruction(
    decoded: Float[Tensor, "*T F"], x: Float[Tensor, "*T F"]
) -> Float[Tensor, ""]:
    """What a code fails to give back of the features, a mean over steps and episodes.

    50 times the mean cross-entropy of the pixels, as Bernoulli probabilities; the
    cross-entropy of the last action; half the squared error of the last reward: the
    costs of ``deepmind-research/tvt/rma.py``. At the first step, which no action has
    led to, the action costs nothing.
    """
    ends = (PIXELS, x.shape[-1] - PIXELS - 1, 1)
    pixels, action, reward = decoded.split(ends, -1)
    seen, done, earned = x.split(ends, -1)
    wrong = F.binary_cross_entropy_with_logits(pixels, (seen + 1) / 2)
    surprise = -(action.log_softmax(-1) * done).sum(-1).mean()
    return 50 * wrong + surprise + 0.5 * (reward - earned).square().mean()


class Answerer(nn.Module):
    """A network that is asked once, at the last step: for `gatebook.match.Labelled`.

    The same weights as an agent's: what answers is its policy.

    Arguments:
        network: with as many actions as there are answers.
    """

    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, x: Float[Tensor, "T B I"]) -> Float[Tensor, "1 B A"]:
        """The logits of the answers."""
        return self.network(x).logits[-1:]


CORES: dict[str, Callable[..., Core]] = {
    "LSTM": LSTM,
    "GRU": GRU,
    "RMC": RMC,
    "DNC": DNC,
    "RMA": RMA,
}
"""The cores by name."""


def build(
    core: str = "LSTM",
    hidden_size: int = 64,
    seed: int = 0,
    *,
    actions: int = len(MOVES),
    code: int = 64,
    **options: Any,
) -> Network:
    """A network whose weights and random streams a seed decides.

    Arguments:
        core: ``"LSTM"``, ``"GRU"``, ``"RMC"``, ``"DNC"`` or ``"RMA"``.
        hidden_size: H, the core's second argument.
        seed: of weights and streams. Torch's default generator is left as it was.
        actions: how many there are, or how many answers.
        code: units of the encoder.
        options: of the core: ``gate``, …

    Raises:
        ValueError: for an unknown core, or a gate, size or shape that it does not take.
        TypeError: for an option that it does not have.

    Example:
        >>> network = build("GRU", 32, gate="UR")
        >>> network.core.input_size, network.core.hidden_size
        (64, 32)
    """
    check_choice("core", core, CORES)
    check_count("code", code)
    kind = CORES[core]
    known = [n for n in inspect.signature(kind).parameters if n != "seed"]
    for name in options:
        check_choice(f"option of {core}", name, known)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        made = kind(code, hidden_size, seed=seed, **options)
        return Network(made, code=code, actions=actions)
