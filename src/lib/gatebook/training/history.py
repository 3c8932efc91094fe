"""The record of a run: its curves, and how far it has come."""

import itertools
from dataclasses import dataclass, field


@dataclass
class History:
    """The record of a run.

    ``curves`` holds lists of equal length: ``step`` and one per score; ``loss`` there
    is the validation's. ``train_loss`` is the mean since the last evaluation.
    """

    curves: dict[str, list[float]] = field(default_factory=dict)
    step: int = 0
    seconds: float = 0.0
    diverged_at: int | None = None

    @property
    def status(self) -> str:
        """``"finished"`` or ``"diverged"``."""
        return "finished" if self.diverged_at is None else "diverged"

    def note(self, step: int, scores: dict[str, float]) -> None:
        """Append one evaluation."""
        for name, value in ({"step": step} | scores).items():
            self.curves.setdefault(name, []).append(value)

    def best(self, score: str) -> float:
        """The highest value that ``score`` reached; NaN if none was taken."""
        return max(self.curves.get(score, []), default=float("nan"))

    def mean(self, score: str) -> float:
        """The mean of ``score`` over the evaluations: high if a model learns early."""
        values = self.curves.get(score, [])
        return sum(values) / len(values) if values else float("nan")

    def fall(self, score: str) -> float:
        """The most by which ``score`` ever lay below an earlier value; at least 0."""
        values = self.curves.get(score, [float("nan")])
        peaks = itertools.accumulate(values, max)
        return max(peak - value for peak, value in zip(peaks, values, strict=True))

    def last(self, score: str) -> float:
        """The last value of ``score``; NaN if none was taken."""
        return self.curves.get(score, [float("nan")])[-1]


def progress_line(
    step: int, steps: int, seconds: float, scores: dict[str, float]
) -> str:
    """``step 200/1000 · 12 s, 48 s left · loss 1.234 · …``."""
    left = seconds / max(step, 1) * (steps - step)
    shown = " · ".join(f"{k} {v:.4f}" for k, v in scores.items())
    return f"step {step}/{steps} · {seconds:.0f} s, {left:.0f} s left · {shown}"
