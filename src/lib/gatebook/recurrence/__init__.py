"""One step of a core, and the loop that repeats it over time.

`cells` holds the cores, `scan` the reference loop that every fast path must equal.
"""
