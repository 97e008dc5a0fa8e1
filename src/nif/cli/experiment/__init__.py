"""The experiment of the paper from end to end, on public data."""
