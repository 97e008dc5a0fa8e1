"""Critics of pairs of numbers, trained by compiled code."""
