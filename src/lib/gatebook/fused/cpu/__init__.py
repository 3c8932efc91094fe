"""The fused scan in C, compiled for the machine at hand."""
