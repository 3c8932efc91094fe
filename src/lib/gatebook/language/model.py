"""AWD-LSTM with any gate (Merity et al. 2018; P1 §4.1.1), and P2's one-layer model."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gatebook.errors import check_count, check_fraction, check_integer
from gatebook.gates import Gate
from gatebook.language.head import Adaptive, Head, Linear
from gatebook.random import Streams, derive_seed, dropped
from gatebook.rnn.module import LSTM

State = list[tuple[Tensor, Tensor]]
"""(h, c) of each layer, both (1, B, H)."""


@dataclass(frozen=True)
class Dropouts:
    """Probabilities of the four dropouts of AWD-LSTM, each below 1.

    Arguments:
        embedding: that all occurrences of a word in a window are 0.
        input: that an entry of the embedding is 0, in all steps of a window.
        hidden: the same between the layers.
        output: the same after the last layer.
    """

    embedding: float = 0.1
    input: float = 0.4
    hidden: float = 0.25
    output: float = 0.4

    def __post_init__(self):
        for name, value in asdict(self).items():
            check_fraction(f"dropouts.{name}", value)


NO_DROPOUT = Dropouts(0.0, 0.0, 0.0, 0.0)


class Hidden(NamedTuple):
    """What the layers make of a window.

    Attributes:
        raw: outputs of the last layer, (T, B, W). TAR acts on their steps.
        dropped: the same after dropout. AR and the head act on these.
        state: to go on from.
    """

    raw: Float[Tensor, "T B W"]
    dropped: Float[Tensor, "T B W"]
    state: State


class LanguageModel(nn.Module):
    """Words in, log-probabilities of the next word out.

    Arguments:
        vocabulary_size: V.
        width: W, the numbers of an embedding.
        hidden_size: H of the layers but, if ``tied``, of the last, which has W.
        num_layers: stacked layers.
        gate: as for `gatebook.LSTM`.
        dropouts: of the embedding, before, between and after the layers.
        weight_drop: probability that an entry of a recurrent weight is 0, one draw
            for all steps of a window.
        bias_start: as for `gatebook.LSTM`; P1's code has ``"uniform"``.
        single_bias: as for `gatebook.LSTM`; in P1's code a G2-LSTM has one bias, and
            its baseline two.
        tied: whether the embedding is the head's weight, too.
        cutoffs: first ids of the rarer groups of words, for a head with less work
            (Grave et al. 2017); ids are to be sorted by frequency. Not with ``tied``.
        seed: of the weights and of all random streams. Torch's default generator is
            left as it was.

    Raises:
        ValueError: for sizes, probabilities or names that are not allowed.
        TypeError: for a seed that is not an integer.

    Example:
        >>> model = LanguageModel(50, 8, 16, gate="G2", seed=0)
        >>> out = model(torch.zeros(7, 3, dtype=torch.int64), model.start(3))
        >>> out.raw.shape, model.log_probabilities(out.dropped).shape
        (torch.Size([7, 3, 8]), torch.Size([7, 3, 50]))
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int,
        hidden_size: int,
        num_layers: int = 3,
        *,
        gate: str | Gate = "LSTM0",
        dropouts: Dropouts = Dropouts(),
        weight_drop: float = 0.5,
        bias_start: str = "gate",
        single_bias: bool = False,
        tied: bool = True,
        cutoffs: Sequence[int] = (),
        seed: int = 0,
    ):
        super().__init__()
        sizes = {"vocabulary_size": vocabulary_size, "width": width}
        sizes |= {"hidden_size": hidden_size, "num_layers": num_layers}
        for name, value in sizes.items():
            check_count(name, value)
        check_integer("seed", seed)
        _check_ends(tied, cutoffs, width, hidden_size, num_layers)
        self.vocabulary_size, self.dropouts = vocabulary_size, dropouts
        self.streams = Streams(derive_seed(seed, "dropouts"))
        inner = [hidden_size] * (num_layers - 1)
        sizes_in_order = [width, *inner, width if tied else hidden_size]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.embedding = nn.Embedding(vocabulary_size, width)
            nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
            self.layers = nn.ModuleList(
                LSTM(
                    below,
                    above,
                    gate=gate,
                    weight_drop=weight_drop,
                    bias_start=bias_start,
                    single_bias=single_bias,
                    seed=derive_seed(seed, "layer", k),
                )
                for k, (below, above) in enumerate(
                    zip(sizes_in_order, sizes_in_order[1:], strict=False)
                )
            )
            self.head = self._make_head(sizes_in_order[-1], tied, cutoffs)

    def _make_head(self, width: int, tied: bool, cutoffs: Sequence[int]) -> Head:
        if cutoffs:
            return Adaptive(width, self.vocabulary_size, cutoffs)
        head = Linear(width, self.vocabulary_size)
        if tied:
            head.weight = self.embedding.weight
        return head

    @property
    def hidden_sizes(self) -> list[int]:
        """H of each layer."""
        return [layer.hidden_size for layer in self._lstms()]

    def start(self, batch_size: int) -> State:
        """The state before a text: zeros."""
        weight = self.embedding.weight
        empty = [weight.new_zeros(1, batch_size, size) for size in self.hidden_sizes]
        return [(h, h.clone()) for h in empty]

    def forward(
        self,
        ids: Int[Tensor, "T B"],
        state: State,
        begins: Bool[Tensor, "T B"] | None = None,
    ) -> Hidden:
        """Run over a window of text.

        Arguments:
            ids: words.
            state: `start`, or what the last window left, detached.
            begins: steps that predict the first word of an article, before which
                the state is cleared; ``None`` where it is carried on. Weight drop
                then draws again at such a step.

        Raises:
            ValueError: for ``begins`` of another kind or shape.
        """
        _check_begins(ids, begins)
        x = self._embed(ids)
        new = []
        for depth, (layer, before) in enumerate(zip(self._lstms(), state, strict=True)):
            p = self.dropouts.input if depth == 0 else self.dropouts.hidden
            x, after = _run(layer, self._locked(x, p), before, begins)
            new.append(after)
        return Hidden(x, self._locked(x, self.dropouts.output), new)

    def nll(
        self, hidden: Float[Tensor, "*N W"], target: Int[Tensor, "*N"]
    ) -> Float[Tensor, "*N"]:
        """Minus the log-probability of each target, in nats.

        Raises:
            ValueError: for targets of another shape, or below 0.
        """
        _check_targets(hidden, target)
        flat = self.head.nll(hidden.flatten(0, -2), target.flatten())
        return flat.view(target.shape)

    def mean_nll(
        self, hidden: Float[Tensor, "*N W"], target: Int[Tensor, "*N"]
    ) -> Float[Tensor, ""]:
        """The mean of `nll`, for training: quicker, and with less memory."""
        _check_targets(hidden, target)
        return self.head.mean_nll(hidden.flatten(0, -2), target.flatten())

    def log_probabilities(self, hidden: Float[Tensor, "*N W"]) -> Float[Tensor, "*N V"]:
        """Of all words, normalised."""
        flat = self.head.log_probabilities(hidden.flatten(0, -2))
        return flat.view(*hidden.shape[:-1], self.vocabulary_size)

    def _lstms(self) -> list[LSTM]:
        return [layer for layer in self.layers if isinstance(layer, LSTM)]

    def _embed(self, ids: Int[Tensor, "T B"]) -> Float[Tensor, "T B W"]:
        x = self.embedding(ids)
        p = self.dropouts.embedding
        if not self.training or p == 0:
            return x
        # The mask of a word is looked up, which is the same as to drop its row.
        g, device = self._generator(), x.device
        keep = torch.rand(self.vocabulary_size, 1, generator=g, device=device) >= p
        return x * keep[ids] / (1 - p)

    def _locked(self, x: Float[Tensor, "T B W"], p: float) -> Float[Tensor, "T B W"]:
        """Dropout with one mask for all steps of a window."""
        if not self.training or p == 0:
            return x
        return dropped(x, p, self._generator(), (1, *x.shape[1:]))

    def _generator(self) -> torch.Generator:
        return self.streams["dropout", self.embedding.weight.device]


def detached(state: State) -> State:
    """The state without its past: no gradient flows from a window into the last."""
    return [(h.detach(), c.detach()) for h, c in state]


def _run(
    layer: LSTM,
    x: Float[Tensor, "T B I"],
    state: tuple[Tensor, Tensor],
    begins: Bool[Tensor, "T B"] | None,
) -> tuple[Tensor, tuple[Tensor, Tensor]]:
    """One layer; the states of columns in which an article begins are cleared."""
    if begins is None or not begins.any():
        return layer(x, state)
    outputs = []
    places = begins.any(1).nonzero().flatten().tolist()
    for first, last in zip([0, *places], [*places, len(x)], strict=True):
        if first in places:
            on = ~begins[first][:, None]
            state = (state[0] * on, state[1] * on)
        if last > first:  # not if an article begins with the window
            out, state = layer(x[first:last], state)
            outputs.append(out)
    return torch.cat(outputs), state


def _check_begins(ids: Tensor, begins: Tensor | None) -> None:
    """Integers would be inverted bit by bit, and fewer steps be read as all."""
    if begins is None or (begins.dtype == torch.bool and begins.shape == ids.shape):
        return
    raise ValueError(
        f"begins is {begins.dtype} of shape {tuple(begins.shape)}; allowed: torch.bool "
        f"of shape {tuple(ids.shape)}, as ids"
    )


def _check_targets(hidden: Tensor, target: Tensor) -> None:
    """Torch's cross-entropy would leave out a target of -100."""
    if hidden.shape[:-1] != target.shape:
        raise ValueError(
            f"target has the shape {tuple(target.shape)}; allowed: "
            f"{tuple(hidden.shape[:-1])}, as hidden but for its last axis"
        )
    if target.numel() and target.min() < 0:
        raise ValueError(f"target has {int(target.min())}; allowed: ids from 0 on")


def _check_ends(
    tied: bool, cutoffs: Sequence[int], width: int, hidden_size: int, layers: int
) -> None:
    if tied and cutoffs:
        raise ValueError(
            f"tied is True and cutoffs is {tuple(cutoffs)}; allowed: tied=False, since "
            "the rarer words have shorter vectors in such a head"
        )
    if tied and layers == 1 and hidden_size != width:
        raise ValueError(
            f"hidden_size is {hidden_size} in a tied model of one layer; allowed: "
            f"the width, {width}, or tied=False"
        )
