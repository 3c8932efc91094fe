"""Closed forms that the theory pages prove and the widgets draw.

One module a page: `gate`, `gumbel`, `timescales`, `refine`, `ordered`, `detach`.
"""
