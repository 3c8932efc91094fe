"""The task: programs in, answers out, one character per step."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from types import ModuleType

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor

from gatebook.errors import check_choice, check_count, check_integer
from gatebook.random import derive_seed
from gatebook.tasks.base import Batch
from gatebook.tasks.programs import sonnet, zaremba
from gatebook.tasks.programs.curricula import Curriculum
from gatebook.tasks.programs.language import DIGITS, Program

DIALECTS: dict[str, ModuleType] = {"sonnet": sonnet, "zaremba": zaremba}

NOTHING = -100
"""The target where an answer has ended: neither loss nor scores see it."""

SAMPLE = 8192
"""Programs that the baseline is taken from."""


@dataclass(frozen=True)
class Programs:
    """Read a program, then write its result while the input is silent.

    A sequence is its program, one character per step, one-hot; then S zero vectors,
    at which the characters of the answer are to be written; then padding, zeros too.
    S is `steps_read`. A core reads from left to right, so nothing that is read
    depends on the padding. This is one pass of what Santoro et al. (2018) do in two: an
    encoder, and a decoder of the same weights without input.

    Arguments:
        kind: ``"addition"``, ``"control"`` or ``"program"``, see `sonnet`; the
            dialect ``"zaremba"`` has ``"program"`` only.
        length: L, the digits of a literal at most (P2: 9).
        nesting: N, the operations of a program at most (P2: 4).
        batch_size: programs per batch (P2: 128).
        seed: decides all batches.
        validation_size: programs in each of the two sets that scores are taken on.
        curriculum: ``"mix"`` (P2), ``"naive"``, ``"combined"`` or ``"none"``, see
            `curricula.Curriculum`.
        advance_every: steps that a level of ``"naive"`` or ``"combined"`` lasts.
        dialect: ``"sonnet"``, DeepMind's language, or ``"zaremba"``.

    Example:
        >>> task = Programs("control", length=2, nesting=1)
        >>> task.programs(0, 1)[0].text
        'x=90for[2]x+=64'
    """

    kind: str = "addition"
    length: int = 3
    nesting: int = 2
    batch_size: int = 64
    seed: int = 0
    validation_size: int = 512
    curriculum: str = "mix"
    advance_every: int | None = None
    dialect: str = "sonnet"

    padded = True

    def __post_init__(self):
        check_integer("seed", self.seed)
        check_choice("dialect", self.dialect, DIALECTS)
        check_choice("kind", self.kind, self._language.KINDS)
        for name in ("length", "nesting", "batch_size", "validation_size"):
            check_count(name, getattr(self, name))
        most = zaremba.MOST
        if self.dialect == "zaremba" and self.nesting > most:
            raise ValueError(
                f"nesting is {self.nesting}; allowed: at most {most} with the dialect "
                f"'zaremba', which has {most} variables"
            )
        self._curriculum(self.curriculum)  # raises

    @property
    def _language(self) -> ModuleType:
        return DIALECTS[self.dialect]

    def _curriculum(self, name: str) -> Curriculum:
        every = self.advance_every if name == self.curriculum else None
        return Curriculum(name, self.length, self.nesting, self.dialect, every)

    @property
    def characters(self) -> str:
        """The characters that a program of this kind may have: the input's features."""
        return self._language.characters(self.kind)

    @property
    def outputs(self) -> str:
        """The characters that an answer may have: the classes."""
        return DIGITS if self.dialect == "sonnet" else DIGITS + "-."

    @property
    def input_size(self) -> int:
        """How many characters there are; 13, 26 and 28 in the kinds of sonnet."""
        return len(self.characters)

    @property
    def output_size(self) -> int:
        """Ten digits; with ``"zaremba"`` the minus sign and the full stop, too."""
        return len(self.outputs)

    @property
    def steps_read(self) -> int:
        """S, the characters of the longest answer that there may be."""
        return self._language.longest_answer(self.length, self.nesting)

    # -- batches -----------------------------------------------------------

    def batch(self, step: int) -> Batch:
        """Input (T, B, input_size) and target (S, B), for the longest of B programs."""
        return self.encode(self.programs(step))

    def programs(self, step: int, count: int | None = None) -> list[Program]:
        """The programs of a training step, ``batch_size`` of them by default."""
        check_integer("step", step)
        count = self.batch_size if count is None else count
        check_count("count", count, least=0)
        return self._draw(count, self.curriculum, step, "train")

    def validation(self) -> list[Batch]:
        """Programs of all levels, drawn as in Mix; training never drew them."""
        return [self.encode(self.drawn("mix", self.validation_size))]

    def further_validation(self) -> dict[str, list[Batch]]:
        """Programs of the hardest level (L, N) alone."""
        return {"hardest": [self.encode(self.drawn("none", self.validation_size))]}

    def drawn(self, curriculum: str, count: int) -> list[Program]:
        """Programs for evaluation, of all levels (``"mix"``) or the hardest."""
        check_choice("curriculum", curriculum, ("mix", "none"))
        return self._draw(count, curriculum, 0, "validation")

    def _draw(self, count: int, name: str, step: int, split: str) -> list[Program]:
        seed = derive_seed("programs", self.seed, split, name, step)
        draw, curriculum = Random(seed), self._curriculum(name)
        write: Callable[..., Program] = self._language.write
        hardness = functools.partial(curriculum.draw, draw, step)
        return [write(draw, self.kind, hardness) for _ in range(count)]

    def encode(self, programs: Sequence[Program]) -> Batch:
        """Input (T, B, input_size) and target (S, B) of some programs.

        Raises:
            ValueError: for no program, or for a character that the kind does not have.
        """
        x = self.encode_texts([program.text for program in programs])
        return x, self.encode_answers([program.answer for program in programs])

    def encode_texts(self, texts: Sequence[str]) -> Float[Tensor, "T B I"]:
        """The input of some programs: one-hot, S zeros, and zeros as padding."""
        if not texts:
            raise ValueError("texts is empty; allowed: at least one program")
        steps = max(map(len, texts)) + self.steps_read
        codes = _codes(texts, steps, self.characters, "program")
        one_hot = torch.eye(self.input_size + 1, device="cpu")[:, : self.input_size]
        return one_hot[codes.T]

    def encode_answers(self, answers: Sequence[str]) -> Int[Tensor, "S B"]:
        """The target of some answers, -100 where an answer has ended."""
        codes = _codes(answers, self.steps_read, self.outputs, "answer")
        return codes.masked_fill(codes == self.output_size, NOTHING).T.contiguous()

    def decode(
        self, prediction: Float[Tensor, "S B K"], target: Int[Tensor, "S B"]
    ) -> list[str]:
        """What a model has written; the target says where to stop."""
        best = prediction.argmax(-1).T.tolist()
        ends = (target != NOTHING).sum(0).tolist()
        pairs = zip(best, ends, strict=True)
        return ["".join(self.outputs[k] for k in row[:end]) for row, end in pairs]

    # -- losses ------------------------------------------------------------

    def loss(
        self, prediction: Float[Tensor, "S B K"], target: Int[Tensor, "S B"]
    ) -> Float[Tensor, ""]:
        """Mean cross-entropy in nats over the characters of the answers.

        DeepMind's script divides by all S · B positions instead, so that its scale
        depends on the padding.
        """
        return F.cross_entropy(prediction.flatten(0, 1), target.flatten())

    def scores(
        self, prediction: Float[Tensor, "S B K"], target: Int[Tensor, "S B"]
    ) -> dict[str, float]:
        """Loss in nats, the share of right characters, and that of right answers."""
        there = target != NOTHING
        right = (prediction.argmax(-1) == target) & there
        whole = (right | ~there).all(0)
        return {
            "loss": self.loss(prediction, target).item(),
            "accuracy": (right.sum() / there.sum()).item(),
            "exact": whole.float().mean().item(),
        }

    def loss_by_position(
        self, prediction: Float[Tensor, "S B K"], target: Int[Tensor, "S B"]
    ) -> list[float]:
        """Mean loss of each character of the answer, the first one first.

        A position that no answer reaches has NaN.
        """
        each = F.cross_entropy(
            prediction.flatten(0, 1), target.flatten(), reduction="none"
        )
        sums = each.view_as(target).sum(1)  # 0 where there is nothing
        return (sums / (target != NOTHING).sum(1)).tolist()

    def baseline(self) -> float:
        """The loss of the best constant guess, over programs of all levels."""
        return _guess(self, "mix")[0]

    def baseline_accuracy(self, curriculum: str = "none") -> float:
        """The accuracy of the best constant guess, at the hardest level by default."""
        return _guess(self, curriculum)[1]

    def describe(self) -> dict[str, object]:
        """Everything that decides its numbers except the seed, and its source."""
        own: dict[str, object] = {
            "task": "programs",
            "dialect": self.dialect,
            "kind": self.kind,
            "length": self.length,
            "nesting": self.nesting,
            "curriculum": self.curriculum,
            "batch_size": self.batch_size,
            "validation_size": self.validation_size,
            "data_source": "generated",
        }
        every = self.advance_every
        return own | ({} if every is None else {"advance_every": every})


def _codes(
    texts: Sequence[str], width: int, alphabet: str, what: str
) -> Int[Tensor, "B width"]:
    """The place of each character in ``alphabet``, its size where a text has ended."""
    try:
        raw = b"".join(text.encode("ascii").ljust(width, b"\0") for text in texts)
        read = torch.frombuffer(bytearray(raw), dtype=torch.uint8).long()
        codes = _table(alphabet)[read]
        known = (codes >= 0) & (codes < len(alphabet))
        if len(raw) != width * len(texts) or known.sum() != sum(map(len, texts)):
            raise ValueError
    except ValueError:
        raise _foreign(texts, width, alphabet, what) from None
    return codes.view(len(texts), width)


@functools.lru_cache(maxsize=16)
def _table(alphabet: str) -> Int[Tensor, "128"]:
    """The code of each ASCII character; -1 for one that is not in the alphabet."""
    table = [-1] * 128
    table[0] = len(alphabet)
    for code, letter in enumerate(alphabet):
        table[ord(letter)] = code
    return torch.tensor(table, device="cpu")


def _foreign(texts: Sequence[str], width: int, alphabet: str, what: str) -> ValueError:
    """The error that names the first text that is not of the language."""
    for text in texts:
        if strange := sorted(set(text) - set(alphabet)):
            return ValueError(
                f"{what} {text!r} has {', '.join(map(repr, strange))}; allowed: the "
                f"characters {alphabet!r}"
            )
        if len(text) > width:
            break
    return ValueError(f"{what} {text!r} is too long; allowed: {width} characters")


def constant_guess(target: Int[Tensor, "S B"]) -> tuple[float, float]:
    """Loss and accuracy of the best answer that does not look at the program.

    At each position it has the distribution of the characters there, and names the
    most frequent one. It is given the length of each answer.

    Example:
        >>> constant_guess(torch.tensor([[1, 1, 2, 1], [7, -100, -100, -100]]))[1]
        0.8
    """
    loss = right = 0.0
    for row in target:
        counts = torch.bincount(row[row != NOTHING]).double()
        share = counts / counts.sum()
        loss -= torch.xlogy(counts, share).sum().item()
        right += counts.max().item() if len(counts) else 0.0
    total = (target != NOTHING).sum().item()
    return loss / total, right / total


@functools.lru_cache(maxsize=64)
def _guess(task: Programs, curriculum: str) -> tuple[float, float]:
    answers = [program.answer for program in task.drawn(curriculum, SAMPLE)]
    return constant_guess(task.encode_answers(answers))
