# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Who predicts. Each half works where the other half's library is not installed."""

from mmcascade.registry import MODELS


def _register_unavailable(name: str, library: str, error: BaseException) -> None:
    """A config that names the class learns why it cannot be built, instead of 'not in the registry'."""

    def build(*args: object, **kwargs: object) -> None:
        raise ImportError(f'{name} needs {library}, and importing it failed: {error!r}') from error

    MODELS.register_module(name=name, module=build)


try:
    from mmcascade.models.cascade_classifier import WindowCascadeClassifier  # noqa: F401
except Exception as error:  # incompatible versions raise AssertionError, not ImportError
    _register_unavailable('WindowCascadeClassifier', 'mmpretrain', error)
