# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Test-time augmentation as stages of a cascade.

MMPretrain's ``TestTimeAug`` makes every augmented image and its ``AverageClsScoreTTA`` averages all predictions. The
same images as views of a pipeline, and one stage for each, give the same average when everybody goes on; and a cascade
that stops adding views when the decision is clear when not (a self-cascade, Wang et al. 2022).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from mmengine.config import Config, ConfigDict

from mmcascade.engine.configs.datasets import pipeline_owners, type_name
from mmcascade.models.cascades import task_of

TTA_OPTIONS = ('policy', 'calibration', 'accept')

_PACK = 'PackInputs'
_POLICIES = ('WindowPolicy', 'ThresholdPolicy', 'RandomPolicy')


def tta_views(pipeline: Sequence[Mapping[str, Any]]) -> tuple[list[dict[str, Any]], int]:
    """The pipeline that makes the images of a ``TestTimeAug`` as views, and how many it makes of each image.

    Where the pipeline has views already (a ``MultiView`` before the ``TestTimeAug``), view v under augmentation t
    becomes view ``v * augmentations + t``.

    Args:
        pipeline: of a data set, with a ``TestTimeAug`` at its end whose last list is the packing alone.

    Returns:
        The pipeline with a ``MultiView``, and the number of augmentations, in the order of ``TestTimeAug``.

    Raises:
        ValueError: if the pipeline has another form.
    """
    *before, augment = [copy.deepcopy(dict(transform)) for transform in pipeline] or [{}]
    if type_name(augment) != 'TestTimeAug':
        raise ValueError(f'the last transform of a tta_pipeline is TestTimeAug, got {augment.get("type")!r}')
    *choices, pack = augment['transforms']
    if len(pack) != 1 or type_name(pack[0]) != _PACK:
        raise ValueError(
            f'the last list of TestTimeAug.transforms is [dict(type={_PACK!r})] and nothing else, got {pack}'
        )
    augmentations = [list(combination) for combination in product(*choices)]
    sources: list[list[Any]] = [[]]
    if before and type_name(before[-1]) == 'MultiView':
        sources = _sub_pipelines(before.pop())
    views = [[*source, *augmentation] for source in sources for augmentation in augmentations]
    view = dict(type='MultiView', num_views=[1] * len(views), transforms=copy.deepcopy(views))
    return [*before, view, dict(pack[0])], len(augmentations)


def view_stages(stages: Sequence[Mapping[str, Any]], augmentations: int) -> list[dict[str, Any]]:
    """One stage per augmentation in place of each stage, on the views of :func:`tta_views`."""
    return [
        {**stage, **_continued(stage, augmentations, t), 'view': stage.get('view', 0) * augmentations + t}
        for stage in stages
        for t in range(augmentations)
    ]


def flip_stages(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Each stage, and after it the same stage on the mirrored image, which it mirrors itself."""
    return [
        {**stage, **_continued(stage, 2, t), 'flip': bool(stage.get('flip', False)) != bool(t)}
        for stage in stages
        for t in range(2)
    ]


def _continued(stage: Mapping[str, Any], augmentations: int, augmentation: int) -> dict[str, int]:
    """From which stage one goes on after each was repeated: the one that saw the same augmentation."""
    before = stage.get('continues')
    return {} if before is None else {'continues': before * augmentations + augmentation}


def full_tta_policy(policy: Mapping[str, Any], augmentations: int) -> dict[str, Any]:
    """A policy for the stages of all augmentations that decides only where it did before.

    Within the augmentations of one stage everybody goes on, so each decision is about averages over all of them.

    Args:
        policy: config of a WindowPolicy, ThresholdPolicy or RandomPolicy, with one rule per gap.
        augmentations: of each stage.

    Raises:
        ValueError: for a policy whose rules are not known here.
    """
    known = type_name(policy) in _POLICIES
    if known and 'thresholds' in policy:  # a threshold t is the window (None, t)
        windows = [None if t is None else (None, t) for t in policy['thresholds']]
        policy = dict(type='mmcascade.WindowPolicy', windows=windows)
    inside = {'windows': (None, None), 'rates': 1.0}
    key = next((key for key in inside if known and key in policy), None)
    if key is None:
        raise ValueError(
            f'--tta cannot tell the rules of the policy {policy.get("type")!r}; give the policy for the '
            'stages of all augmentations as tta_model = dict(policy=...)'
        )
    group = [inside[key]] * (augmentations - 1)
    rules = [*group, *(rule for own in policy[key] for rule in (own, *group))]
    return {**policy, key: rules}


def repeat_stages(cfg: Config, splits: Sequence[str]) -> int:
    """Repeat every stage of a cascade's config for each augmentation, in place; how many augmentations there are.

    They are those of ``tta_pipeline`` (its ``TestTimeAug``), which becomes the pipeline of the splits, or, where the
    config has none, the image and its mirror image, which the stages make themselves.

    Raises:
        ValueError: if the config's pipelines do not allow it; the message says what to do.
    """
    model, pipeline = cfg.model, cfg.get('tta_pipeline')
    if task_of(cfg) != 'classification':
        raise ValueError(
            f'test-time augmentation is for cascades of classifiers, got {model.get("type")!r}; leave --tta out'
        )
    if pipeline is None:
        stages, augmentations = flip_stages(model.stages), 2
    else:
        converted, augmentations = tta_views(pipeline)
        _check_views(model.stages, _view_count(converted) // augmentations)
        for split in splits:
            _replace_pipeline(cfg, split, converted)
        stages = view_stages(model.stages, augmentations)
    model.stages = [ConfigDict(stage) for stage in stages]
    return augmentations


def apply_tta(cfg: Config) -> Config:
    """Turn a cascade's config into that of the cascade under test-time augmentation, in place.

    Every stage is repeated for each augmentation (:func:`repeat_stages`). What becomes of the decisions between them is
    said by ``tta_model`` in the config:

    - none, or MMPretrain's ``AverageClsScoreTTA``: full test-time augmentation. Each stage runs on all augmentations,
      and the exit policy decides between stages as before, on averages over them.
    - ``dict(policy=...)`` or ``dict(calibration=...)``, with ``accept`` if wanted: a cascade that may also stop between
      two augmentations. It has one rule for each gap between the repeated stages.

    Multiply-adds, confidence, label and acceptance are those of what really ran in both.

    Args:
        cfg: config of a ``WindowCascadeClassifier`` with a ``test_dataloader``.

    Raises:
        ValueError: where no right result is possible; the message says what to do.
    """
    options = _tta_options(cfg.get('tta_model'))
    if not options:
        _check_full(cfg.model)
    own = len(cfg.model.get('stages', ()))
    augmentations = repeat_stages(cfg, ['test_dataloader'])
    model = cfg.model
    if options:
        for key in TTA_OPTIONS:
            model.pop(key, None)
        model.update(options)
    elif model.get('policy') is not None or own == 1:
        policy = model.get('policy') or dict(type='mmcascade.WindowPolicy', windows=[])
        model.policy = ConfigDict(full_tta_policy(policy, augmentations))
    return cfg


def _check_full(model: Mapping[str, Any]) -> None:
    if model.get('fusion', 'prob') == 'replace':
        raise ValueError(
            "fusion='replace' keeps the last stage's scores only, so nothing is averaged over the "
            "augmentations; use fusion='prob', or test without --tta"
        )
    if model.get('calibration') is not None:
        raise ValueError(
            'the calibration of this cascade was fitted without test-time augmentation, so neither its windows nor its '
            'accept threshold hold with it. Calibrate what is tested: tools/calibrate.py CONFIG OUT.json --tta, and '
            "then set tta_model = dict(calibration='OUT.json')"
        )


def _tta_options(tta_model: Mapping[str, Any] | None) -> dict[str, Any]:
    options = dict(tta_model or {})
    average = options.pop('type', 'AverageClsScoreTTA')
    if average.rpartition('.')[2] != 'AverageClsScoreTTA' or set(options) - set(TTA_OPTIONS):
        raise ValueError(
            f'tta_model of a cascade is empty, AverageClsScoreTTA, or has keys of {TTA_OPTIONS}, got '
            f'{dict(tta_model or {})}; the cascade averages by itself'
        )
    return options


def _check_views(stages: Sequence[Mapping[str, Any]], views: int) -> None:
    for index, stage in enumerate(stages):
        if stage.get('view', 0) >= views:
            raise ValueError(
                f'stage {index} reads view {stage["view"]}, but tta_pipeline makes {views} view(s) for each '
                'augmentation: put the MultiView of the test pipeline before its TestTimeAug'
            )


def _replace_pipeline(cfg: Config, split: str, pipeline: list[dict[str, Any]]) -> None:
    owners = pipeline_owners(cfg[split].dataset)
    if len(owners) != 1:
        raise ValueError(
            f'the data set of {split} has {len(owners)} pipelines, so --tta cannot tell which one tta_pipeline '
            'replaces. Leave tta_pipeline out (then every stage mirrors its images itself), or write its images as '
            'views: mmcascade.engine.configs.tta.tta_views gives the pipeline'
        )
    owners[0]['pipeline'] = copy.deepcopy(pipeline)


def _sub_pipelines(multi_view: Mapping[str, Any]) -> list[list[Any]]:
    counts, transforms = multi_view['num_views'], multi_view['transforms']
    counts = [counts] if isinstance(counts, int) else counts
    return [list(sub) for sub, count in zip(transforms, counts, strict=True) for _ in range(count)]


def _view_count(pipeline: Sequence[Mapping[str, Any]]) -> int:
    return next(len(transform['num_views']) for transform in pipeline if type_name(transform) == 'MultiView')
