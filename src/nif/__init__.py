"""NIF, Neural Information Flow: how much information flows between the neurons of a trained network.

The public names are listed in ``__init__.pyi``. Each is imported when it is first used (SPEC 1), so that
``import nif`` takes no longer than a command needs to print its help.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
