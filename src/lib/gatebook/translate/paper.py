"""The variant ``paper``: the network of P1's published code, step by step.

The text of P1 and its code (zhuohan123/g2-lstm, ``machine-translation/models``) differ.
Here is the code's network:

- the encoder's first layer reads both ways, H units each; the layers above have 2H
  units and read forward, so that "256" means 256 + 256, then 512;
- the decoder's first layer takes TWO transitions per step on one state: A reads the
  last word; its h asks the attention; B reads the context. Each has its own gates;
- attention is additive, of width 2H; the layers above read [h; context], and from the
  third on get their input added;
- dropout is not inverted, on each layer's output, not between A and B; the readout's is
  0.5 whatever the rate is, whenever there is one.

The biases: one vector per layer, at 0. The code's W_c of the context and W of the layer
below are one matrix here.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gatebook.gates import Gate
from gatebook.rnn.module import LSTM
from gatebook.translate.base import (
    Memory,
    State,
    TranslationModel,
    both_ways,
    mean_of,
    real_places,
    stacked,
)

READOUT_DROPOUT = 0.5
"""That of the code where there is any dropout (`--fix_dp_bug` is off)."""


class PaperTranslator(TranslationModel):
    """P1's network, from its code.

    Arguments:
        vocabulary_size: V.
        width: E.
        hidden_size: H; the encoder's upper layers have 2H units.
        num_layers: of the encoder, and of the decoder; transitions A and B are one.
        gate: as for `gatebook.LSTM`, the same in all layers and both transitions.
        dropout: probability, below 1, on each layer's output.
        tied: whether source, target and output share one table; not in the code.
        seed: of the weights and of all random streams.

    Raises:
        ValueError: for sizes or probabilities that are not allowed.

    Attributes:
        decoder: transition A, transition B, then the layers from the second on.
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int,
        hidden_size: int,
        num_layers: int = 2,
        *,
        gate: str | Gate = "LSTM0",
        dropout: float = 0.0,
        tied: bool = False,
        seed: int = 0,
    ):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = (vocabulary_size, width, hidden_size, num_layers)
            super().__init__(*sizes, dropout, tied, seed)
            h = hidden_size
            inner = [(2 * h, 2 * h, False)] * (num_layers - 1)
            first = (width, h, True)
            self.encoder = stacked([first, *inner], gate, seed, "encoder")
            pair = [(width, h, False), (2 * h, h, False)]
            upper = [(3 * h, h, False)] * (num_layers - 1)
            self.decoder = stacked([*pair, *upper], gate, seed, "decoder")
            self.query = nn.Linear(h, 2 * h, bias=False)
            self.key = nn.Linear(2 * h, 2 * h)
            self.score = nn.Linear(2 * h, 1, bias=False)
            self.initial = nn.Linear(2 * h, h)
            self.readout = nn.Linear(h + width + 2 * h, width)
            self._start_weights()

    def _start_weights(self) -> None:
        """Orthonormal rows or columns, U by blocks; biases at 0 (code, utils.py)."""
        for name, weight in self.named_parameters():
            if weight.dim() == 1:
                nn.init.zeros_(weight)
            elif "weight_hh" in name:
                for block in weight.detach().split(weight.shape[1]):
                    nn.init.orthogonal_(block)
            else:
                nn.init.orthogonal_(weight)

    def encode(self, source: Int[Tensor, "S B"], lengths: Int[Tensor, " B"]) -> Memory:
        """Read source sentences; ``lengths`` count their eos."""
        first, *others = self.encoder
        hidden = self._drop(both_ways(first, self.source_embedding(source), lengths))
        for depth, layer in enumerate(others, 2):
            out = self._drop(layer(hidden)[0])
            hidden = out + hidden if depth > 2 else out
        values, real = hidden.transpose(0, 1), real_places(source, lengths)
        start = torch.tanh(self.initial(mean_of(values, real)))
        return Memory(self.key(values), values, real, start)

    def start(self, memory: Memory) -> State:
        """The state before the first step; A and B share the first."""
        return super().start(memory)[1:]

    def attention(
        self, query: Float[Tensor, "1 B H"], memory: Memory
    ) -> Float[Tensor, "B S"]:
        """The weights by which a step averages the source: v · tanh(W h + U x + b)."""
        mixed = torch.tanh(self.query(query[0])[:, None] + memory.keys)
        score = self.score(mixed)[..., 0]
        return score.masked_fill(~memory.real, -torch.inf).softmax(-1)

    def _run(
        self, y: Float[Tensor, "T B E"], state: State, memory: Memory
    ) -> tuple[Float[Tensor, "T B E"], State]:
        """The first layer step by step; those above it run over the whole sequence."""
        hidden, context, after = self._transitions(y, state[0], memory)
        hidden, new = self._drop(hidden), [after]
        upper = zip(self.decoder[2:], state[1:], strict=True)
        for depth, (layer, before) in enumerate(upper, 2):
            out, after = layer(torch.cat([hidden, context], -1), before)
            new.append(after)
            out = self._drop(out)
            hidden = out + hidden if depth > 2 else out
        together = torch.cat([hidden, y, context], -1)
        readout = torch.tanh(self.readout(together))
        return self._drop(readout, READOUT_DROPOUT if self.dropout else 0.0), new

    def _transitions(
        self, y: Float[Tensor, "T B E"], state: tuple[Tensor, Tensor], memory: Memory
    ) -> tuple[Float[Tensor, "T B H"], Float[Tensor, "T B W"], tuple[Tensor, Tensor]]:
        """A, attention and B at each step; outputs, contexts, and the last state."""
        a, b = self._pair()
        outputs, contexts, kept = [], [], []
        for y_t in y:
            query, state = a(y_t[None], state)
            weights = self.attention(query, memory)
            context = (weights[:, None] @ memory.values)[:, 0]
            out, state = b(context[None], state)
            outputs.append(out)
            contexts.append(context)
            kept.append([dict((one.recorder or {}).get("l0", {})) for one in (a, b)])
        for one, gates in zip((a, b), zip(*kept, strict=True), strict=True):
            if one.recorder is not None:  # each step has overwritten the last one's
                one.recorder["l0"] = {
                    k: torch.cat([g[k] for g in gates]) for k in gates[0]
                }
        return torch.cat(outputs), torch.stack(contexts), state

    def _pair(self) -> tuple[LSTM, LSTM]:
        a, b = self.decoder[0], self.decoder[1]
        assert isinstance(a, LSTM) and isinstance(b, LSTM)
        return a, b

    def _drop(
        self, x: Float[Tensor, "*shape"], p: float | None = None
    ) -> Float[Tensor, "*shape"]:
        """Zeros in training; in evaluation the mean, x (1 - p)."""
        p = self.dropout if p is None else p
        if not self.training or p == 0:
            return x * (1 - p)
        g = self._generator()
        return x * (torch.rand(x.shape, generator=g, device=x.device) >= p)
