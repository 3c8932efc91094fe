"""The variant ``between``: every LSTM runs over its whole sequence in one fused scan.

The published code's first decoder layer waits for the context at each step, so that
nothing can be computed ahead. Here the first layer reads the words alone, all steps at
once; attention then answers all steps at once, and the upper layers read [h; context].
GNMT's attention starts from the bottom layer as well.

Three parts beyond P1, each of which can be switched off: a learnt map of the query; the
**bridge**, a linear map of the source's embeddings that is added to what attention
compares and averages (source-side bridging, Kuang et al. 2018); and one table for
source, target and output, which a joint encoding makes possible. What is read of a
table is multiplied by √E, as Transformers do, so that it starts with a variance of 1.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from gatebook.errors import check_flag
from gatebook.gates import Gate
from gatebook.random import dropped
from gatebook.translate.base import (
    Memory,
    State,
    TranslationModel,
    both_ways,
    mean_of,
    real_places,
    stacked,
)


class Translator(TranslationModel):
    """An encoder and a decoder of LSTMs with any gate, and attention between them.

    Arguments:
        vocabulary_size: V, pieces of the joint table.
        width: E, numbers in an embedding.
        hidden_size: H, even; the first encoder layer has H/2 units in each direction.
        num_layers: of the encoder, and of the decoder.
        gate: as for `gatebook.LSTM`, the same in all layers.
        dropout: probability, below 1, on each layer's output and on the readout.
        query: whether attention's query goes through a learnt map.
        bridge: whether attention sees the source's embeddings, too.
        tied: whether source, target and output share one table.
        residual: whether layers add their input to their output: the encoder's from
            the second on, the decoder's from the third on, as P1's code.
        seed: of the weights and of all random streams.

    Raises:
        ValueError: for sizes, probabilities or names that are not allowed.

    Example:
        >>> from gatebook.translate.batches import batch_of
        >>> from gatebook.translate.corpus import Pairs
        >>> batch = batch_of(Pairs([[5, 6, 0]], [[7, 0]], [0]), [0])
        >>> Translator(20, 8, 16, gate="G2").nll(batch).shape
        torch.Size([2])
    """

    def __init__(
        self,
        vocabulary_size: int,
        width: int,
        hidden_size: int,
        num_layers: int = 2,
        *,
        gate: str | Gate = "LSTM0",
        dropout: float = 0.2,
        query: bool = True,
        bridge: bool = True,
        tied: bool = True,
        residual: bool = True,
        seed: int = 0,
    ):
        for name, value in (("query", query), ("bridge", bridge)):
            check_flag(name, value)
        check_flag("residual", residual)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            sizes = (vocabulary_size, width, hidden_size, num_layers)
            super().__init__(*sizes, dropout, tied, seed)
            _check_even(hidden_size)
            self.residual, h = residual, hidden_size
            # A table that also predicts starts small; LSTMs learn from larger numbers.
            self.scale = width**0.5
            inner = [(h, h, False)] * (num_layers - 1)
            first = (width, h // 2, True)
            self.encoder = stacked([first, *inner], gate, seed, "encoder")
            upper = [(2 * h, h, False)] * (num_layers - 1)
            first = (width, h, False)
            self.decoder = stacked([first, *upper], gate, seed, "decoder")
            self.query = nn.Linear(h, h, bias=False) if query else None
            self.bridge = nn.Linear(width, h, bias=False) if bridge else None
            self.initial = nn.Linear(h, h)
            self.readout = nn.Linear(2 * h + width, width)

    def encode(self, source: Int[Tensor, "S B"], lengths: Int[Tensor, " B"]) -> Memory:
        """Read source sentences; ``lengths`` count their eos."""
        x = self.scale * self.source_embedding(source)
        first, *others = self.encoder
        hidden = self._drop(both_ways(first, x, lengths))
        for layer in others:
            out = self._drop(layer(hidden)[0])
            hidden = out + hidden if self.residual else out
        if self.bridge is not None:
            hidden = hidden + self.bridge(x)
        values, real = hidden.transpose(0, 1), real_places(source, lengths)
        start = torch.tanh(self.initial(mean_of(values, real)))
        return Memory(values, values, real, start)

    def attention(
        self, query: Float[Tensor, "T B H"], memory: Memory
    ) -> Float[Tensor, "B T S"]:
        """The weights by which each step averages the source."""
        if self.query is not None:
            query = self.query(query)
        score = query.transpose(0, 1) @ memory.keys.transpose(1, 2)
        score = score / self.hidden_size**0.5
        return score.masked_fill(~memory.real[:, None], -torch.inf).softmax(-1)

    def _run(
        self, y: Float[Tensor, "T B E"], state: State, memory: Memory
    ) -> tuple[Float[Tensor, "T B E"], State]:
        """All layers over the words ``y``, and the readout."""
        first, *others = self.decoder
        out, after = first(y, state[0])
        hidden, new = self._drop(out), [after]
        context = (self.attention(hidden, memory) @ memory.values).transpose(0, 1)
        for depth, (layer, before) in enumerate(zip(others, state[1:], strict=True), 2):
            out, after = layer(torch.cat([hidden, context], -1), before)
            new.append(after)
            out = self._drop(out)
            hidden = out + hidden if self.residual and depth > 2 else out
        together = torch.cat([hidden, y, context], -1)
        return self._drop(torch.tanh(self.readout(together))), new

    def _drop(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        if not self.training or self.dropout == 0:
            return x
        return dropped(x, self.dropout, self._generator())


def _check_even(hidden_size: int) -> None:
    if hidden_size % 2:
        raise ValueError(
            f"hidden_size is {hidden_size}; allowed: an even number, half of it for "
            "each direction of the first encoder layer"
        )
