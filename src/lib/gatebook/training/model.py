"""A recurrent layer with a head that reads it, and the model that a task needs."""

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from gatebook.errors import check_count, check_flag, check_probability
from gatebook.random import Streams, dropped
from gatebook.tasks.base import Task


class Dropout(nn.Module):
    """Dropout that draws from a model's own stream, so that its seed decides it.

    Arguments:
        p: probability that a value is set to 0 in training.
        streams: the model's.
    """

    def __init__(self, p: float, streams: Streams):
        super().__init__()
        check_probability("head_dropout", p)
        self.p, self.streams = p, streams

    def forward(self, x: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Zeros with probability p, the others divided by 1 - p."""
        if not self.training or self.p == 0:
            return x
        return dropped(x, self.p, self.streams["head", x.device])

    def extra_repr(self) -> str:
        """Its probability; a checkpoint distinguishes models by it."""
        return f"p={self.p}"


class SequenceModel(nn.Module):
    """A recurrent layer and a head that reads some of its steps.

    Arguments:
        rnn: a core of this library or one of torch's own, with time first.
        output_size: K, the head's outputs.
        steps_read: S, how many steps the head reads, at least 1: the last ones.
        head_size: width of a ReLU layer before the output; 0 for none (P2 D.2
            has 256 for images, P3 none).
        head_dropout: probability of dropout on that layer (P2 D.2: 0.5 where there
            is zoneout); needs gatebook's own ``rnn``.
        head_layers: how many such layers (Santoro et al. 2018: 4 on programs).
        padded: whether sequences of different lengths end in zero vectors. The head
            then reads the first S of these, which follow a sequence's own last step.

    Raises:
        ValueError: for a size or probability that is not allowed, or an ``rnn`` with
            the batch first; in a pass, for a sequence shorter than ``steps_read``.
    """

    def __init__(
        self,
        rnn: nn.Module,
        output_size: int,
        steps_read: int,
        head_size: int = 0,
        head_dropout: float = 0.0,
        head_layers: int = 1,
        padded: bool = False,
    ):
        super().__init__()
        check_count("output_size", output_size)
        check_count("steps_read", steps_read)
        check_count("head_size", head_size, least=0)
        check_count("head_layers", head_layers)
        check_flag("padded", padded)
        if rnn.batch_first:
            raise ValueError(
                "batch_first of rnn is True; allowed: False: tasks have time first"
            )
        streams = getattr(rnn, "streams", None)  # which torch's own do not have
        if head_dropout and not (head_size and streams):
            raise ValueError(
                f"head_dropout is {head_dropout!r}; allowed: 0 where head_size is 0 "
                "or rnn is torch's own"
            )
        self.rnn, self.steps_read, self.padded = rnn, steps_read, padded
        width = output_width(rnn)
        hidden: list[nn.Module] = []
        for _ in range(head_layers if head_size else 0):
            hidden += [nn.Linear(width, head_size), nn.ReLU()]
            if head_dropout and streams:
                hidden.append(Dropout(head_dropout, streams))
            width = head_size
        self.head = nn.Sequential(*hidden, nn.Linear(width, output_size))

    def forward(self, x: Float[Tensor, "T B I"]) -> Float[Tensor, "S B K"]:
        """Outputs of the head on the steps that it reads."""
        return self.read(self.rnn(x)[0], x)

    def read(
        self, hidden: Float[Tensor, "T B H"], x: Float[Tensor, "T B I"]
    ) -> Float[Tensor, "S B K"]:
        """Outputs of the head on the steps that it reads of a core's output."""
        if len(hidden) < self.steps_read:
            raise ValueError(
                f"steps_read is {self.steps_read}, but the sequence has {len(hidden)} "
                "steps; allowed: at most as many"
            )
        if not self.padded:
            return self.head(hidden[-self.steps_read :])
        places = self._places(x)[..., None].expand(-1, -1, hidden.shape[-1])
        return self.head(hidden.gather(0, places))

    def real_steps(self, x: Float[Tensor, "T B I"]) -> Bool[Tensor, "T B"]:
        """Which steps are read or lead to one that is; the others are padding."""
        last = self._places(x)[-1] if self.padded else x.new_tensor(len(x))
        return torch.arange(len(x), device=x.device)[:, None] <= last.expand(x.shape[1])

    def _places(self, x: Float[Tensor, "T B I"]) -> Int[Tensor, "S B"]:
        """The steps that are read, the first ones after each sequence's end."""
        lengths = (x != 0).any(-1).sum(0)
        longest = int(lengths.max())
        if longest + self.steps_read > len(x):
            raise ValueError(
                f"the sequence has {len(x)} steps, the longest input in it {longest}; "
                f"allowed: at least {self.steps_read} zero vectors after each input"
            )
        return lengths + torch.arange(self.steps_read, device=x.device)[:, None]


def output_width(rnn: nn.Module) -> int:
    """The features of a core's output at a step, this library's or torch's own."""
    if isinstance(rnn, nn.RNNBase):
        own = rnn.proj_size or rnn.hidden_size
        return own * (2 if rnn.bidirectional else 1)
    width = rnn.output_width
    assert isinstance(width, int)
    return width


def build(
    task: Task,
    kind: Callable[..., nn.Module],
    hidden_size: int,
    seed: int,
    **options: Any,
) -> SequenceModel:
    """A model for a task; ``seed`` decides its weights and its random streams.

    Arguments:
        task: gives the widths.
        kind: `gatebook.LSTM` or another core of this library.
        hidden_size: H, the units of an LSTM, a GRU or a DNC's controller; of an RMC
            the width of a slot.
        seed: the run's seed. Torch's default generator is left as it was.
        options: ``head_size``, ``head_layers`` and ``head_dropout``, and whatever
            ``kind`` takes (``gate``, ``h_detach``).
    """
    words = ("head_size", "head_layers", "head_dropout")
    head = {k: options.pop(k) for k in words if k in options}
    head["padded"] = getattr(task, "padded", False)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        rnn = kind(task.input_size, hidden_size, seed=seed, **options)
        return SequenceModel(rnn, task.output_size, task.steps_read, **head)
