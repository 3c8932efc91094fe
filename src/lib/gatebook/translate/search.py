"""Beam search over many sentences at once.

All open hypotheses of all sentences are the rows of one batch. Those that end leave it,
and the beam of their sentence shrinks by one, as in P1's code; a sentence is done when
none of its beam is open. The score of a hypothesis y of n tokens, its eos counted, is
log p(y) / n^α. With α = 1, which is P1's, that is the mean log-probability of a token.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_count, check_not_negative
from gatebook.modes import evaluating
from gatebook.translate.base import Memory, State, TranslationModel
from gatebook.translate.batches import padded
from gatebook.translate.subwords import EOS

ROWS = 1000
"""At most this many hypotheses are open at once; no translation depends on it."""

BLOCK = 128
"""Rows whose words are scored at once, so that their scores stay in the cache."""


def longest_translation(source_length: int) -> int:
    """Steps after which a search stops, whatever is open: 1.5 S + 5, rounded down."""
    return int(1.5 * source_length) + 5


def translate(
    model: TranslationModel,
    sources: Sequence[Sequence[int]],
    *,
    beam: int = 5,
    alpha: float = 1.0,
) -> list[list[int]]:
    """The best translation of each sentence that the search finds.

    A hypothesis that is open after `longest_translation` steps competes as it is.

    Arguments:
        model: is put into evaluation mode meanwhile.
        sources: ids, each sentence ended by eos.
        beam: hypotheses of a sentence that are followed; 1 is greedy.
        alpha: α; 0 prefers short translations.

    Returns:
        ids without eos, in the order of ``sources``.

    Raises:
        ValueError: for a beam below 1, a negative α, a sentence without words, or a
            model whose probabilities are NaN.
    """
    check_count("beam", beam)
    check_not_negative("alpha", alpha)
    for k, source in enumerate(sources):
        check_count(f"words of sentence {k}", len(source))
    order = sorted(range(len(sources)), key=lambda k: len(sources[k]))
    found: list[list[int]] = [[] for _ in sources]
    size = max(1, ROWS // beam)
    with evaluating(model):
        for first in range(0, len(order), size):
            rows = order[first : first + size]
            search = _Search(model, [sources[k] for k in rows], beam, alpha)
            for k, ids in zip(rows, search.run(), strict=True):
                found[k] = ids
    return found


class _Open(NamedTuple):
    """The hypotheses that are still open, side by side."""

    sentence: Int[Tensor, " R"]
    score: Float[Tensor, " R"]  # sum of log p
    said: Int[Tensor, "R L"]


class _Search:
    """A search for the translations of some sentences."""

    def __init__(
        self,
        model: TranslationModel,
        sources: Sequence[Sequence[int]],
        beam: int,
        alpha: float,
    ):
        self.model, self.beam, self.alpha = model, beam, alpha
        device = model.embedding.weight.device
        ids, lengths = padded(sources)
        self.sources = model.encode(ids.to(device), lengths)
        limits = [longest_translation(len(source)) for source in sources]
        self.limits = torch.tensor(limits, device=device)
        self.ended = torch.zeros(len(limits), dtype=torch.int64, device=device)
        self.best = torch.full((len(limits),), -torch.inf, device=device)
        self.texts: list[list[int]] = [[] for _ in limits]

    def run(self) -> list[list[int]]:
        """The best hypothesis of each sentence."""
        memory, state = self.sources, self.model.start(self.sources)
        whole = _contiguous(self.sources)
        every = torch.arange(len(self.texts), device=self.best.device)
        live = _Open(every, self.best.new_zeros(len(every)), every[:, None][:, :0])
        while len(live.sentence):
            last = live.said[:, -1] if live.said.shape[1] else None
            readout, state = self.model.step(last, state, memory)
            live, origin = self._advance(live, readout)
            state = _select(state, origin)
            if not torch.equal(live.sentence, every):
                memory = _of_rows(whole, live.sentence)
            every = live.sentence
        return self.texts

    def _advance(
        self, live: _Open, readout: Float[Tensor, "R E"]
    ) -> tuple[_Open, Int[Tensor, " N"]]:
        """The best continuations, those that end taken out; and from which rows."""
        blocks = [self._best_words(block) for block in readout.split(BLOCK)]
        top, words = (torch.cat(parts) for parts in zip(*blocks, strict=True))
        scores = live.score[:, None] + top
        _check_scores(scores)
        rows, ranks = self._chosen(live.sentence, scores)
        word = words[rows, ranks]
        said = torch.cat([live.said[rows], word[:, None]], 1)
        new = _Open(live.sentence[rows], scores[rows, ranks], said)
        over = said.shape[1] >= self.limits[new.sentence]
        ends = (word == EOS) | over
        self._end(_Open(*(t[ends] for t in new)))
        return _Open(*(t[~ends] for t in new)), rows[~ends]

    def _best_words(
        self, readout: Float[Tensor, "R E"]
    ) -> tuple[Float[Tensor, "R K"], Int[Tensor, "R K"]]:
        """log p of the best words after each row, and these words, the best first."""
        logits = self.model.head(readout)
        top, words = logits.topk(min(self.beam, logits.shape[1]))
        most = top[:, :1]
        total = logits.sub_(most).exp_().sum(1, keepdim=True)  # needed no more
        return top - (total.log() + most), words

    def _chosen(
        self, sentence: Int[Tensor, " R"], scores: Float[Tensor, "R K"]
    ) -> tuple[Int[Tensor, " N"], Int[Tensor, " N"]]:
        """Rows and ranks of the continuations that each sentence keeps."""
        if self.beam == 1:
            rows = torch.arange(len(sentence), device=sentence.device)
            return rows, torch.zeros_like(rows)
        # A sentence's rows are neighbours; their continuations become one row.
        _, place, counts = torch.unique_consecutive(
            sentence, return_inverse=True, return_counts=True
        )
        starts = counts.cumsum(0) - counts
        rank = torch.arange(len(sentence), device=sentence.device) - starts[place]
        width = scores.shape[1]
        table = scores.new_full((len(counts), int(counts.max()), width), -torch.inf)
        table[place, rank] = scores
        most = min(self.beam, table.shape[1] * width)
        best, where = table.flatten(1).topk(most)
        free = self.beam - self.ended[sentence[starts]]
        kept = torch.arange(most, device=best.device) < free[:, None]
        kept &= best > -torch.inf
        rows = starts[:, None] + where // width
        return rows[kept], (where % width)[kept]

    def _end(self, done: _Open) -> None:
        """Note hypotheses that have ended; keep each sentence's best."""
        length = done.said.shape[1]
        scores = (done.score / length**self.alpha).tolist()
        self.ended += torch.bincount(done.sentence, minlength=len(self.ended))
        for k, score, said in zip(
            done.sentence.tolist(), scores, done.said.tolist(), strict=True
        ):
            if score > self.best[k]:
                self.best[k] = score
                self.texts[k] = [word for word in said if word != EOS]


def _check_scores(scores: Float[Tensor, "R K"]) -> None:
    """NaN is below and above nothing: it would end as an empty translation."""
    if scores.isnan().any():
        raise ValueError(
            "model gives words a probability of NaN; allowed: weights that are finite"
        )


def _contiguous(memory: Memory) -> Memory:
    """The same, each sentence in one piece; keys that are the values stay them."""
    values = memory.values.contiguous()
    same = memory.keys is memory.values
    return memory._replace(
        keys=values if same else memory.keys.contiguous(), values=values
    )


def _of_rows(memory: Memory, rows: Int[Tensor, " N"]) -> Memory:
    """The sources in these rows; a search spends a tenth of its time here.

    One copy where keys and values are one tensor, and by ``index_select``, which copies
    a sentence of a contiguous tensor at once.
    """
    values = memory.values.index_select(0, rows)
    same = memory.keys is memory.values
    keys = values if same else memory.keys.index_select(0, rows)
    return Memory(keys, values, memory.real[rows], memory.start[rows])


def _select(state: State, rows: Int[Tensor, " N"]) -> State:
    return [(h.index_select(1, rows), c.index_select(1, rows)) for h, c in state]
