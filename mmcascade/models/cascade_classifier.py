# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of classifiers as one MMPretrain model."""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmcascade.models.class_outputs import gives_logits
from mmcascade.models.classifier_stage import ClassifierStage, classify
from mmcascade.models.members import Member, build_member, check_members
from mmcascade.registry import MODELS, TASK_UTILS
from mmcascade.routing import (
    CascadeRouter,
    Confidence,
    ExitPolicy,
    MacCounter,
    Outcome,
    WindowPolicy,
    build_confidence,
)
from mmcascade.routing.state import log_floored


@MODELS.register_module()
class WindowCascadeClassifier(BaseModel):
    """Pretrained classifiers as a routed cascade (Xia & Bouganis 2023; Wang et al. 2022).

    Stage 0 sees every image; each later stage only the images that the policy sends on. Images in the data samples
    come back with ``pred_score`` and ``pred_label`` of the fused scores, and ``confidence`` (higher = more certain),
    ``exit_stage`` (from 0), ``macs`` (multiply-adds spent on this image), ``finite_stages``, ``num_stages``, and
    ``accepted`` where an accept threshold is set.

    Args:
        members: per name a dict with ``model`` (zoo name, ``lib::config``, config path, inline dict or a module)
            and ``checkpoint`` (path, 'zoo' or None); see :func:`~mmcascade.models.members.build_member`.
        stages: dicts with ``member``, and optionally ``view`` (index, default 0), ``batch_size`` (default:
            whatever arrives), ``macs`` (multiply-adds per image, default: counted), ``temperature`` (default 1).
        confidence: a name in :data:`mmcascade.routing.CONFIDENCES`, or an object.
        fusion: 'prob', 'logit' or 'replace'.
        policy: config or object of an exit policy with one rule per gap. Without it the model builds, but refuses
            to test.
        accept: accept a prediction if its confidence is at least this; None = no acceptance is reported.
        data_preprocessor: ignored; members keep their own. MMEngine passes it to every model.

    Raises:
        ValueError, TypeError: at build time, naming the value, what was expected and the fix.
    """

    def __init__(self, members: Mapping[str, Any], stages: Sequence[Mapping[str, Any]],
                 confidence: str | Confidence = 'max_prob', fusion: str = 'prob',
                 policy: Mapping[str, Any] | ExitPolicy | None = None, accept: float | None = None,
                 data_preprocessor: Any = None, init_cfg: Any = None) -> None:
        super().__init__(init_cfg=init_cfg)
        del data_preprocessor
        built = {name: _build(name, spec) for name, spec in members.items()}
        check_members(list(built.values()))
        # torch's ModuleDict: mmengine's would re-initialise the loaded members in init_weights().
        self.members = nn.ModuleDict({name: member.module for name, member in built.items()})
        self._unloaded = {name for name, member in built.items() if not member.loaded}
        self.register_load_state_dict_post_hook(_require_all_members)
        classes = next((m.classes for m in built.values() if m.classes), None)
        self.classes = classes

        self.accept = _checked_accept(accept)
        self.stages = _build_stages(self.members, stages)
        confidence = build_confidence(confidence)
        _check_confidence(confidence, self.stages, self.members)
        if policy is None and len(self.stages) == 1:
            policy = WindowPolicy([])
        if isinstance(policy, Mapping):
            policy = TASK_UTILS.build(policy)
        self.router = None if policy is None else CascadeRouter(
            self.stages, policy, confidence, fusion)
        self.eval()

    def forward(self, inputs: Tensor | Sequence[Tensor], data_samples: list[DataSample] | None = None,
                mode: str = 'tensor') -> Tensor | list[DataSample]:
        """Route one batch.

        Args:
            inputs: raw images ``(N, 3, H, W)``, or one such tensor per view.
            data_samples: N samples, which are written to and returned; made where there are none.
            mode: 'predict' gives data samples; 'tensor' gives fused log-probabilities ``(N, C)``.
        """
        if mode == 'loss':
            raise RuntimeError('a cascade has no loss: its members are trained one by one, with their own configs, and '
                               'then named in members=dict(...)')
        if mode not in ('tensor', 'predict'):
            raise ValueError(f"unknown mode {mode!r}; expected 'tensor' or 'predict'")
        router = self._ready_router()
        views = as_views(inputs)
        outcome = router.route(views, _units(router.policy, data_samples))
        if mode == 'tensor':
            return torch.zeros(0, 0) if outcome is None else log_floored(outcome.probs)
        if outcome is None:
            return []
        if data_samples is None:
            data_samples = [DataSample() for _ in range(len(outcome))]
        self.write_results(outcome, data_samples)
        return data_samples

    def test_step(self, data: dict | tuple | list) -> list[DataSample]:
        """Predict a batch as the data loader gives it. No member sees more than the rows it is asked for."""
        return self._run_forward(data, mode='predict')

    val_step = test_step

    def write_results(self, outcome: Outcome, data_samples: Sequence[DataSample]) -> None:
        """Write finished units into their data samples, which stand in the order of the outcome."""
        probs = outcome.probs.cpu()
        rows = zip(data_samples, probs, probs.argmax(1), outcome.confidence.tolist(), outcome.exit_stage.tolist(),
                   outcome.macs.tolist(), outcome.finite_stages.tolist(), strict=True)
        for sample, score, label, confidence, exit_stage, macs, finite_stages in rows:
            sample.set_pred_score(score).set_pred_label(label)
            sample.set_field(confidence, 'confidence')
            sample.set_field(exit_stage, 'exit_stage')
            sample.set_field(macs, 'macs')
            sample.set_field(finite_stages, 'finite_stages')
            sample.set_field(len(self.stages), 'num_stages', field_type='metainfo')
            if self.accept is not None:
                sample.set_field(confidence >= self.accept, 'accepted')

    def state_dict(self, *args: Any, destination: Any = None, prefix: str = '',
                   keep_vars: bool = False) -> dict[str, Tensor]:
        """The members' weights under ``members.<name>.``, each as the member itself saves them."""
        # Wrapping classifiers rename their keys in a hook that works only on a state dict of their own.
        destination = OrderedDict() if destination is None else destination
        for name, member in self.members.items():
            for key, value in member.state_dict(keep_vars=keep_vars).items():
                destination[f'{prefix}members.{name}.{key}'] = value
        return destination

    def init_weights(self) -> None:
        """Nothing: members are loaded when the cascade is built, or from a bundle."""

    def _ready_router(self) -> CascadeRouter:
        if self._unloaded:
            raise RuntimeError(
                f'no weights were loaded for member(s) {sorted(self._unloaded)}: give each a checkpoint= (a path, or '
                "'zoo'), or load a bundle made by tools/bundle_checkpoint.py")
        if self.router is None:
            raise RuntimeError(
                f'this cascade of {len(self.stages)} stages has no exit policy; give the model policy=dict(type='
                f"'mmcascade.WindowPolicy', windows=[...]) with {len(self.stages) - 1} window(s)")
        return self.router


def as_views(inputs: Any) -> list[Tensor]:
    """The batch as a list of views, each ``(N, 3, H, W)``.

    Takes what the collate functions make: a tensor, a list of tensors (one per view), or, per view, a list of images.
    """
    if isinstance(inputs, Tensor):
        inputs = [inputs]
    if inputs and all(isinstance(x, Tensor) and x.dim() == 3 for x in inputs):
        inputs = [inputs]  # pseudo_collate without views: a list of single images
    return [view if isinstance(view, Tensor) else _stack(view) for view in inputs]


def _stack(images: Sequence[Tensor]) -> Tensor:
    shapes = {tuple(image.shape) for image in images}
    if len(shapes) > 1:
        raise ValueError(f'the images of a view have different shapes {sorted(shapes)}; resize or crop them to one '
                         'size in the data pipeline')
    return torch.stack(list(images))


def _units(policy: ExitPolicy, data_samples: Sequence[DataSample] | None) -> list[int] | None:
    if data_samples is None:
        return None
    indexes = [sample.get('sample_idx') for sample in data_samples]
    if None not in indexes:
        return [int(index) for index in indexes]
    if policy.needs_unit:
        raise ValueError(f"{policy!r} decides by each image's index in the data set, but the data samples have no "
                         "'sample_idx'; keep it in the meta_keys of PackInputs")
    return list(range(len(indexes)))


def _build(name: str, spec: Any) -> Member:
    if isinstance(spec, nn.Module):
        return build_member(name, spec)
    known = ('model', 'checkpoint', 'unsafe_checkpoint', 'classes')
    if not isinstance(spec, Mapping) or 'model' not in spec or set(spec) - set(known):
        raise ValueError(f'member {name!r} is a dict with model= and optionally {known[1:]}, got {spec!r}')
    return build_member(name, **spec)


def _build_stages(members: nn.ModuleDict, stages: Sequence[Mapping[str, Any]]) -> list[ClassifierStage]:
    if not stages:
        raise ValueError('a cascade needs at least one stage, got stages=[]; name a member in '
                         "stages=[dict(member='...'), ...]")
    forwards = {name: partial(classify, module) for name, module in members.items()}
    counters = {name: MacCounter(forward, members[name]) for name, forward in forwards.items()}
    built = []
    for index, stage in enumerate(stages):
        options = dict(stage)
        name = options.pop('member', None)
        if name not in members:
            raise ValueError(f'stage {index} names member {name!r}; expected one of {sorted(members)}')
        _check_stage_options(index, options)
        built.append(ClassifierStage(name, forwards[name], counters[name], **options))
    unused = set(members) - {stage.member for stage in built}
    if unused:
        warnings.warn(f'member(s) {sorted(unused)} are loaded but no stage uses them', stacklevel=3)
    return built


def _check_stage_options(index: int, options: Mapping[str, Any]) -> None:
    checks = {
        'view': ('a view index >= 0', lambda v: isinstance(v, int) and v >= 0),
        'batch_size': ('a whole number >= 1 or None', lambda v: v is None or isinstance(v, int) and v >= 1),
        'macs': ('multiply-adds per image >= 0 or None', lambda v: v is None or v >= 0),
        'temperature': ('a number > 0', lambda v: 0 < v < math.inf),
    }
    for key, value in options.items():
        if key not in checks:
            raise ValueError(f'stage {index} has the unknown key {key!r}; expected member and any of {sorted(checks)}')
        expected, is_valid = checks[key]
        if isinstance(value, bool) or not is_valid(value):
            raise ValueError(f'{key} of stage {index} is {expected}, got {value!r}')


def _check_confidence(confidence: Confidence, stages: Sequence[ClassifierStage], members: nn.ModuleDict) -> None:
    if not confidence.needs_logits:
        return
    for index, stage in enumerate(stages):
        if not gives_logits(members[stage.member]):
            raise ValueError(
                f'confidence {confidence!r} needs logits, but member {stage.member!r} of stage {index} gives '
                "probabilities only; use 'max_prob', 'prob_gap', 'neg_entropy' or 'logit_gap'")


def _checked_accept(accept: float | None) -> float | None:
    if accept is not None and (isinstance(accept, bool) or not isinstance(accept, (int, float))
                               or math.isnan(accept)):
        raise ValueError(f'accept is the lowest confidence that is accepted, a number or None, got {accept!r}')
    return accept


def _require_all_members(model: WindowCascadeClassifier, incompatible: Any) -> None:
    """A checkpoint given for the whole cascade must hold the whole cascade."""
    missing = [key for key in incompatible.missing_keys if not key.endswith('num_batches_tracked')]
    if missing:
        shown = ', '.join(missing[:5]) + (', ...' if len(missing) > 5 else '')
        raise RuntimeError(
            f'the checkpoint lacks {len(missing)} of the weights of this cascade: {shown}. The weights of a single '
            "member belong into that member's checkpoint=; a checkpoint for the whole cascade is made by "
            'tools/bundle_checkpoint.py')
    model._unloaded = set()
