# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The registries of mmcascade, children of mmengine's.

Writing ``type='mmcascade.X'`` in a config is enough: mmengine imports this module and then the
registry's locations, so no ``custom_imports`` and no change of ``default_scope`` are needed.

Confidences, policies and reducers are registered in :mod:`mmcascade.routing`, which needs no mmengine. What is
registered there, by us or by a user, is found here as well.
"""

from __future__ import annotations

import difflib

from mmcascade._system.extras import install_hint, needed_by
from mmcascade.routing import CONFIDENCE_TYPES, POLICIES, REDUCERS, UnknownNameError
from mmcascade.routing.registry import unknown

with needed_by('a config of mmcascade'):
    from mmengine import registry as mmengine
    from mmengine.registry import Registry

_SCOPE = 'mmcascade'


class _Registry(Registry):
    """A registry of mmengine that helps with names that are nearly right."""

    def __init__(self, name: str, parent: Registry, *locations: str) -> None:
        super().__init__(name, parent=parent, scope=_SCOPE, locations=list(locations))

    def get(self, key: str) -> type | None:
        """As mmengine's, but a name that is next to one of ours is an error that says so."""
        found = super().get(key)
        name = key.removeprefix(f'{_SCOPE}.')
        if found is None and difflib.get_close_matches(name, list(self._module_dict), n=1, cutoff=0.75):
            raise UnknownNameError(unknown(f'{self.name} of mmcascade', name, self._module_dict))
        return found


MODELS = _Registry('model', mmengine.MODELS, 'mmcascade.models')
METRICS = _Registry('metric', mmengine.METRICS, 'mmcascade.evaluation.metrics')
HOOKS = _Registry('hook', mmengine.HOOKS, 'mmcascade.engine.hooks')
LOOPS = _Registry('loop', mmengine.LOOPS, 'mmcascade.engine.loops')
DATASETS = _Registry('dataset', mmengine.DATASETS, 'mmcascade.datasets')
TRANSFORMS = _Registry('transform', mmengine.TRANSFORMS, 'mmcascade.datasets')
TASK_UTILS = _Registry('task util', mmengine.TASK_UTILS, 'mmcascade.calibration.detectors')


def register_unavailable(registry: Registry, name: str, library: str, error: BaseException) -> None:
    """A config that names the class learns why it cannot be built, instead of 'not in the registry'."""

    def build(*args: object, **kwargs: object) -> None:
        raise ImportError(
            f'{name} needs {library}, and importing it failed: {error!r}{install_hint(library)}'
        ) from error

    registry.register_module(name=name, module=build)


def _hand_on(name: str, part: type) -> None:
    """A class of routing is called by its own name in configs, which is not always the short one."""
    del name
    TASK_UTILS.register_module(module=part, force=True)


POLICIES.follow(_hand_on)
CONFIDENCE_TYPES.follow(_hand_on)
REDUCERS.follow(_hand_on)
