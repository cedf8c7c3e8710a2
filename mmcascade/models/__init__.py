# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Who predicts. Each half works where the other half's library is not installed.

Without MMEngine nothing is registered here, and what is left are the networks of other libraries and how they want
their images (``members.networks``, ``members.recipes``), which ``mmcascade.Cascade`` runs. A cascade for a third task
derives from ``CascadeModel`` and is registered below. From the ground up: ``members`` and ``cells``, ``runtimes``,
``stages``, ``parts``, the cascades, ``export``.
"""

from __future__ import annotations

#: Members with several exits.
_WITH_EXITS = ('MultiExitClassifier', 'MultiExitHead', 'LevelExits', 'MSDNet', 'MSDNetHead')


def _register() -> None:
    from mmcascade.models.members.cifar_resnet import CifarResNet  # noqa: F401
    from mmcascade.models.members.timm_features import TimmFeatures  # noqa: F401
    from mmcascade.registry import MODELS, register_unavailable

    # Only the libraries are tried: an error in a module of ours is an error, and says so.
    try:
        import mmpretrain.structures  # noqa: F401
    except Exception as error:  # incompatible versions raise AssertionError, not ImportError
        for name in ('WindowCascadeClassifier', 'X3D', 'X3DHead', *_WITH_EXITS):
            register_unavailable(MODELS, name, 'mmpretrain', error)
    else:
        import mmcascade.models.members.exits.exit_classifier
        import mmcascade.models.members.exits.msdnet
        import mmcascade.models.members.x3d  # noqa: F401
        from mmcascade.models.cascade_classifier import WindowCascadeClassifier  # noqa: F401
    try:
        import mmseg.structures  # noqa: F401
    except Exception as error:
        for name in ('CascadeSegmentor', 'CascadeSegTTA'):
            register_unavailable(MODELS, name, 'mmseg', error)
    else:
        from mmcascade.models.cascade_seg_tta import CascadeSegTTA  # noqa: F401
        from mmcascade.models.cascade_segmentor import CascadeSegmentor  # noqa: F401


try:
    import mmengine  # noqa: F401
except ModuleNotFoundError:
    pass
else:
    _register()
