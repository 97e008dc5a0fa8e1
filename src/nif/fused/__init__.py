"""Critics of pairs of numbers trained at the processor's speed, compiled by numba."""
