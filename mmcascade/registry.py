# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The registries of mmcascade, children of mmengine's.

Writing ``type='mmcascade.X'`` in a config is enough: mmengine imports this module and then the
registry's locations, so no ``custom_imports`` and no change of ``default_scope`` are needed.
"""

from mmengine.registry import (
    DATASETS as MMENGINE_DATASETS,
)
from mmengine.registry import (
    HOOKS as MMENGINE_HOOKS,
)
from mmengine.registry import (
    LOOPS as MMENGINE_LOOPS,
)
from mmengine.registry import (
    METRICS as MMENGINE_METRICS,
)
from mmengine.registry import (
    MODELS as MMENGINE_MODELS,
)
from mmengine.registry import (
    TASK_UTILS as MMENGINE_TASK_UTILS,
)
from mmengine.registry import (
    TRANSFORMS as MMENGINE_TRANSFORMS,
)
from mmengine.registry import (
    Registry,
)

from mmcascade import routing

_SCOPE = 'mmcascade'

MODELS = Registry('model', parent=MMENGINE_MODELS, scope=_SCOPE, locations=['mmcascade.models'])
METRICS = Registry('metric', parent=MMENGINE_METRICS, scope=_SCOPE, locations=['mmcascade.evaluation.metrics'])
HOOKS = Registry('hook', parent=MMENGINE_HOOKS, scope=_SCOPE, locations=['mmcascade.engine.hooks'])
LOOPS = Registry('loop', parent=MMENGINE_LOOPS, scope=_SCOPE, locations=['mmcascade.engine.loops'])
DATASETS = Registry('dataset', parent=MMENGINE_DATASETS, scope=_SCOPE, locations=['mmcascade.datasets'])
TRANSFORMS = Registry('transform', parent=MMENGINE_TRANSFORMS, scope=_SCOPE, locations=['mmcascade.datasets'])
TASK_UTILS = Registry(
    'task util', parent=MMENGINE_TASK_UTILS, scope=_SCOPE, locations=['mmcascade.calibration.detectors']
)


def register_unavailable(registry: Registry, name: str, library: str, error: BaseException) -> None:
    """A config that names the class learns why it cannot be built, instead of 'not in the registry'."""

    def build(*args: object, **kwargs: object) -> None:
        raise ImportError(f'{name} needs {library}, and importing it failed: {error!r}') from error

    registry.register_module(name=name, module=build)


# routing/ imports no MM library, so its configurable parts are registered here.
for _part in (
    routing.WindowPolicy,
    routing.ThresholdPolicy,
    routing.RandomPolicy,
    routing.AdjustedWindowPolicy,
    routing.CellBudgetPolicy,
    routing.CellConfidence,
    routing.MeanReducer,
    routing.QuantileReducer,
    routing.FractionBelowReducer,
):
    TASK_UTILS.register_module(module=_part)
