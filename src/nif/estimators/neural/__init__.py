"""Mutual information from critics: variational bounds, cross-fitted."""
