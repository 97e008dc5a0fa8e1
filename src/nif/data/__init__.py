"""Rows of data as checked tensors, whatever a user passes."""
