"""Estimators of mutual information, one file or package per method.

Each is imported when it is first used: currents need none of them, and they load a compiler.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
