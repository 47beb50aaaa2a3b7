"""The map over an image set: gathering, moments of images and of groups, files of moments, shards and executors.

``nd.moments``, a function, has the name of this package, which is therefore called like it:
:func:`ndtools.moments.source.moments` is the function.
"""

import sys
from types import ModuleType
from typing import Any


class _CallableModule(ModuleType):
    def __call__(self, *arguments: Any, **settings: Any) -> Any:  # noqa: ANN401
        from ndtools.moments.source import moments

        return moments(*arguments, **settings)


sys.modules[__name__].__class__ = _CallableModule
