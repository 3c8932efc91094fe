"""How long a run takes on this machine: a few training steps, timed.

On a CPU the time is the processor's, which other programs at work do not lengthen: a
run takes as long as estimated where a core is free for it.
"""

import statistics
import time
from dataclasses import dataclass
from functools import lru_cache

import torch
from gatebook.rnn.module import LSTM
from gatebook.tasks.base import Batch
from gatebook.training import Job, Plan, build, fit_together
from jaxtyping import Float
from torch import Tensor

STARTUP = 25.0
"""Seconds that a page's kernel and its other cells take beside the training."""

FEWEST, MOST = 3, 9
"""Timed stretches of a calibration; after the fewest it ends once `ENOUGH` is spent."""

ENOUGH = 4.0
"""Seconds of one calibration, more or less."""


@dataclass(frozen=True)
class Shape:
    """A task of zeros that costs what a task of this shape does.

    Arguments:
        length: T; the head reads the last step.
        batch_size: B.
        input_size: of each step.
    """

    length: int
    batch_size: int
    input_size: int

    seed = 0
    output_size = 9
    steps_read = 1

    def batch(self, step: int) -> Batch:
        """Zeros."""
        shape = (self.length, self.batch_size, self.input_size)
        return torch.zeros(shape), torch.zeros(1, self.batch_size)

    def validation(self) -> list[Batch]:
        """One sequence, so that the scores cost nothing."""
        x, target = self.batch(0)
        return [(x[:, :1], target[:, :1])]

    def loss(
        self, prediction: Float[Tensor, "1 B K"], target: Float[Tensor, "1 B"]
    ) -> Float[Tensor, ""]:
        """Any loss."""
        return (prediction[..., 0] - target).square().mean()

    def scores(
        self, prediction: Float[Tensor, "1 B K"], target: Float[Tensor, "1 B"]
    ) -> dict[str, float]:
        """Nothing that anyone reads."""
        return {"loss": 0.0}

    def describe(self) -> dict[str, object]:
        """Its sizes."""
        return {"task": "zeros", "length": self.length, "batch_size": self.batch_size}


@lru_cache(maxsize=64)
def seconds_per_step(
    shape: tuple[int, int, int, int], device: str = "cpu", models: int = 1
) -> float:
    """Median seconds of a training step on one core, as a sweep's points have it.

    Arguments:
        shape: T, batch, input and hidden size.
        device: where.
        models: trained side by side; the seconds are those of all of them.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _stretch(shape, device, models)  # compiles the kernel
        times: list[float] = []
        started = time.monotonic()
        while len(times) < FEWEST or (
            len(times) < MOST and time.monotonic() - started < ENOUGH
        ):
            times.append(_stretch(shape, device, models))
    finally:
        torch.set_num_threads(threads)
    return statistics.median(times)


def _stretch(shape: tuple[int, int, int, int], device: str, models: int) -> float:
    """Seconds of one step: those of three steps less those of one, halved."""
    return (_train(3, shape, device, models) - _train(1, shape, device, models)) / 2


def _train(
    steps: int, shape: tuple[int, int, int, int], device: str, models: int
) -> float:
    length, batch, inputs, hidden = shape
    task = Shape(length, batch, inputs)
    plan = Plan(steps, evaluate_every=steps)
    jobs = [
        Job(build(task, LSTM, hidden, k, gate="UR").to(device), task, plan)
        for k in range(models)
    ]
    clock = time.perf_counter if device.startswith("cuda") else time.process_time
    started = clock()
    fit_together(jobs)
    return clock() - started
