"""Closed forms that the theory pages prove and the widgets draw.

One module a page: `gumbel`, `timescales`, `refine`, `ordered`, `detach`.
"""
