"""The recurrence over time as one differentiable operation, without Python inside.

`trace` derives a step's forward and backward pass from the reference core, `build`
compiles them into ``kernel.c``, and `function` runs the result. On a GPU, `gpu` does
both with Triton. Nothing about a gate is written twice: a new gate is fast as soon as
`gatebook.gates` knows it.
"""

from gatebook.fused.cpu.function import applies, reference, run, run_many

__all__ = ["applies", "reference", "run", "run_many"]
