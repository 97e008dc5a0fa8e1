"""Layers and links, errors, random numbers, files, progress: shared by every other package."""

from importlib.metadata import version

__version__ = version("neural-information-flow")
