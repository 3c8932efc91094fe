"""The recurrence over time as one differentiable operation, without Python inside.

`dispatch` decides which way a pass takes; PyTorch's tools see it as the node of
`operator`. `trace` derives a step's forward and backward
pass from the reference core; `cpu` compiles them into ``kernel.c`` and runs the result,
`gpu` does the same with Triton. `step` is for one step alone. Nothing about a gate is
written twice: a new gate is fast as soon as `gatebook.gates` knows it.
"""

from gatebook.fused.dispatch import (
    applies,
    clear,
    reference,
    run,
    run_logged,
    run_many,
)

__all__ = ["applies", "clear", "reference", "run", "run_logged", "run_many"]
