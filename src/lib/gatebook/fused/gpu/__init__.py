"""The fused scan in Triton, for CUDA devices."""
