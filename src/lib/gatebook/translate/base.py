"""What both translation models share: tables, attention's memory, readout, loss."""

from abc import abstractmethod
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from gatebook.errors import check_count, check_flag, check_fraction, check_integer
from gatebook.gates import Gate
from gatebook.random import Streams, derive_seed
from gatebook.rnn.module import LSTM
from gatebook.translate.batches import Batch, inside

State = list[tuple[Tensor, Tensor]]
"""(h, c) of each layer of the decoder, both (1, B, H)."""


class Memory(NamedTuple):
    """A source as the decoder sees it.

    Attributes:
        keys: what a query is compared with, (B, S, A).
        values: what is averaged into a context, (B, S, W).
        real: which places are words or the eos, (B, S).
        start: the decoder's h before its first step, the same for all layers, (B, H).
    """

    keys: Float[Tensor, "B S A"]
    values: Float[Tensor, "B S W"]
    real: Bool[Tensor, "B S"]
    start: Float[Tensor, "B H"]


class TranslationModel(nn.Module):
    """Reads source and target ids; gives the log-probability of each target word.

    Arguments:
        vocabulary_size: V, pieces of the joint table.
        width: E, numbers in an embedding.
        hidden_size: H.
        num_layers: of the encoder, and of the decoder.
        dropout: probability, below 1.
        tied: whether source, target and output share one table.
        seed: of the weights and of all random streams. Torch's default generator is
            left as it was.

    Attributes:
        encoder: its LSTM layers; the first one reads both ways.
        decoder: its LSTM layers, from the one that reads the words said so far.
        scale: of embeddings that are read, not of those that predict.
    """

    encoder: nn.ModuleList
    decoder: nn.ModuleList
    scale = 1.0

    def __init__(
        self,
        vocabulary_size: int,
        width: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        tied: bool,
        seed: int,
    ):
        super().__init__()
        sizes = {"vocabulary_size": vocabulary_size, "width": width}
        sizes |= {"hidden_size": hidden_size, "num_layers": num_layers}
        for name, value in sizes.items():
            check_count(name, value)
        check_fraction("dropout", dropout)
        check_flag("tied", tied)
        check_integer("seed", seed)
        self.vocabulary_size, self.width = vocabulary_size, width
        self.hidden_size, self.num_layers = hidden_size, num_layers
        self.dropout, self.tied = float(dropout), tied
        self.streams = Streams(derive_seed(seed, "dropout"))
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.source_embedding = nn.Embedding(vocabulary_size, width)
        self.head = nn.Linear(width, vocabulary_size)
        nn.init.zeros_(self.head.bias)
        for table in (self.embedding, self.source_embedding, self.head):
            nn.init.normal_(table.weight, std=width**-0.5)
        if tied:
            self.source_embedding.weight = self.embedding.weight
            self.head.weight = self.embedding.weight

    @abstractmethod
    def encode(self, source: Int[Tensor, "S B"], lengths: Int[Tensor, " B"]) -> Memory:
        """Read source sentences; ``lengths`` count their eos."""

    @abstractmethod
    def _run(
        self, y: Float[Tensor, "T B E"], state: State, memory: Memory
    ) -> tuple[Float[Tensor, "T B E"], State]:
        """The decoder over the words ``y``: readouts, and the state after the last."""

    def decode(
        self, memory: Memory, target: Int[Tensor, "T B"]
    ) -> Float[Tensor, "T B E"]:
        """Readouts, from each of which a word of ``target`` is predicted."""
        return self._run(self._said(target), self.start(memory), memory)[0]

    def step(
        self, said: Int[Tensor, " B"] | None, state: State, memory: Memory
    ) -> tuple[Float[Tensor, "B E"], State]:
        """One step of the decoder in evaluation; ``said`` is the word before."""
        y = self._said_last(said, memory)
        readout, state = self._run(y[None], state, memory)
        return readout[0], state

    def start(self, memory: Memory) -> State:
        """The decoder's state before its first step: c is 0."""
        h = memory.start[None]
        return [(h, torch.zeros_like(h)) for _ in self.decoder]

    def forward(self, batch: Batch) -> Float[Tensor, "N E"]:
        """Readouts of the N words of the batch's targets, padding left out."""
        memory = self.encode(batch.source, batch.source_lengths)
        return self.decode(memory, batch.target)[batch.real]

    def nll(self, batch: Batch) -> Float[Tensor, " N"]:
        """Minus the log-probability of each target word, in nats, step by step."""
        logits = self.head(self(batch))
        return F.cross_entropy(logits, batch.target[batch.real], reduction="none")

    def log_probabilities(
        self, readout: Float[Tensor, "*N E"]
    ) -> Float[Tensor, "*N V"]:
        """Of all words, normalised."""
        return F.log_softmax(self.head(readout), -1)

    # -- parts ---------------------------------------------------------------

    def _said(self, target: Int[Tensor, "T B"]) -> Float[Tensor, "T B E"]:
        """What the decoder reads: the word before each; a zero vector at first."""
        y = self.scale * self.embedding(target[:-1])
        return torch.cat([y.new_zeros(1, *y.shape[1:]), y])

    def _said_last(
        self, said: Int[Tensor, " B"] | None, memory: Memory
    ) -> Float[Tensor, "B E"]:
        if said is None:
            return memory.start.new_zeros(len(memory.start), self.width)
        return self.scale * self.embedding(said)

    def _generator(self) -> torch.Generator:
        return self.streams["dropout", self.embedding.weight.device]


def both_ways(
    layer: nn.Module, x: Float[Tensor, "S B I"], lengths: Int[Tensor, " B"]
) -> Float[Tensor, "S B O"]:
    """A bidirectional layer's outputs; its backward half starts at each sentence's end.

    Zero behind a sentence's end.
    """
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    return pad_packed_sequence(layer(packed)[0])[0]


def real_places(
    source: Int[Tensor, "S B"], lengths: Int[Tensor, " B"]
) -> Bool[Tensor, "B S"]:
    """Which places are within their sentences, batch first."""
    return inside(source, lengths).T


def mean_of(
    values: Float[Tensor, "B S W"], real: Bool[Tensor, "B S"]
) -> Float[Tensor, "B W"]:
    """The mean over a sentence's places, its eos too."""
    weights = real.to(values.dtype)
    total = (values * weights[..., None]).sum(1)
    return total / weights.sum(1, keepdim=True)


def stacked(
    sizes: list[tuple[int, int, bool]], gate: str | Gate, seed: int, side: str
) -> nn.ModuleList:
    """LSTM layers of these inputs, units and directions, each with its own streams."""
    return nn.ModuleList(
        LSTM(
            below,
            units,
            gate=gate,
            bidirectional=both,
            seed=derive_seed(seed, side, k),
        )
        for k, (below, units, both) in enumerate(sizes)
    )
