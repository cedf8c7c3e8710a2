# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of classifiers as one MMPretrain model."""

from __future__ import annotations

import math
import warnings
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from mmpretrain.structures import DataSample
from torch import Tensor, nn

from mmcascade.calibration.calibration_file import Calibration
from mmcascade.calibration.fingerprints import module_fingerprint
from mmcascade.calibration.identity import CascadeIdentity
from mmcascade.models.cascade_parts import (
    build_from_spec,
    build_stages,
    check_confidence,
    checked_accept,
    scores_for,
)
from mmcascade.models.members import check_members
from mmcascade.models.strict_loading import differences
from mmcascade.models.views import as_views
from mmcascade.registry import MODELS, TASK_UTILS
from mmcascade.routing import CascadeRouter, Confidence, ExitPolicy, Outcome, WindowPolicy, build_confidence
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
            whatever arrives), ``macs`` (multiply-adds per image, default: counted), ``temperature`` (default 1),
            ``resize``, ``flip``, ``interpolation`` (see :class:`~mmcascade.models.device_view.DeviceView`), and
            ``channels_last``, ``amp``, ``compile`` (see :class:`~mmcascade.models.execution.Execution`).
        confidence: a name in :data:`mmcascade.routing.CONFIDENCES`, an object, or the config of one, such as
            ``dict(type='mmcascade.KNNConfidence', bank='bank.npz')``.
        fusion: 'prob', 'logit' or 'replace'.
        policy: config or object of an exit policy with one rule per gap. Without it the model builds, but refuses
            to test.
        accept: accept a prediction if its confidence is at least this; None = no acceptance is reported.
        calibration: path of a file made by tools/calibrate.py (or its content), which gives the windows, the
            temperatures, the score maps and the accept threshold in place of ``policy`` and ``accept``. It is checked
            against the stages when the cascade is built, and against the members' weights before the first test.
        data_preprocessor: ignored; members keep their own. MMEngine passes it to every model.

    Raises:
        ValueError, TypeError: at build time, naming the value, what was expected and the fix.
    """

    #: Marks the models that load members of their own.
    is_cascade = True

    def __init__(self, members: Mapping[str, Any], stages: Sequence[Mapping[str, Any]],
                 confidence: str | Mapping[str, Any] | Confidence = 'max_prob', fusion: str = 'prob',
                 policy: Mapping[str, Any] | ExitPolicy | None = None, accept: float | None = None,
                 calibration: str | Path | Mapping[str, Any] | None = None, data_preprocessor: Any = None,
                 init_cfg: Any = None) -> None:
        super().__init__(init_cfg=init_cfg)
        del data_preprocessor
        if not isinstance(members, Mapping):
            raise TypeError(f'members is a dict of name: dict(model=..., checkpoint=...), got {members!r}')
        built = {name: build_from_spec(name, spec) for name, spec in members.items()}
        check_members(list(built.values()))
        # torch's ModuleDict: mmengine's would re-initialise the loaded members in init_weights().
        self.members = nn.ModuleDict({name: member.module for name, member in built.items()})
        self._unloaded = {name for name, member in built.items() if not member.loaded}
        self.register_load_state_dict_pre_hook(_check_whole_cascade)
        self.register_load_state_dict_post_hook(_mark_loaded)
        self.classes = next((m.classes for m in built.values() if m.classes), None)

        self.fusion = fusion
        self.confidence = build_confidence(
            TASK_UTILS.build(confidence) if isinstance(confidence, Mapping) else confidence)
        self._confidence_name = confidence if isinstance(confidence, str) else self.confidence.name
        self._detector = None if isinstance(confidence, str) else self.confidence
        self.stages = build_stages(self.members, stages, scores_for(self.confidence))
        check_confidence(self.confidence, self.stages, self.members)
        self.accept = checked_accept(accept)
        self._unchecked: Calibration | None = None
        self._unchecked_features = self.confidence.needs_features
        maps = None
        if calibration is not None:
            if policy is not None or accept is not None:
                raise ValueError('a calibration gives the windows and the accept threshold; leave policy= and accept= '
                                 'out, or calibration=')
            loaded = Calibration.load(calibration)
            policy, maps = self._use(loaded), loaded.maps
        if policy is None and len(self.stages) == 1:
            policy = WindowPolicy([])
        if isinstance(policy, Mapping):
            policy = TASK_UTILS.build(policy)
        if not isinstance(policy, ExitPolicy | None):
            raise TypeError("policy is a config such as dict(type='mmcascade.WindowPolicy', windows=[(0.2, 0.4)]) or "
                            f'an exit policy, got {policy!r}')
        self.router = None if policy is None else CascadeRouter(self.stages, policy, self.confidence, fusion,
                                                                   maps)
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
        views = as_views(inputs)
        router = self.ready_router(views)
        outcome = router.route(views, units_of(router.policy, data_samples))
        if mode == 'tensor':
            return torch.zeros(0, 0) if outcome is None else log_floored(outcome.probs)
        if outcome is None:
            return []
        if data_samples is None:
            data_samples = [DataSample() for _ in range(len(outcome))]
        self.write_results(outcome, data_samples)
        return data_samples

    def train(self, mode: bool = True) -> WindowCascadeClassifier:
        """As for any module. Every test begins with this call, and so begins a new stream for policies that adapt."""
        super().train(mode)
        if getattr(self, 'router', None) is not None:
            self.router.restart()
        return self

    def test_step(self, data: dict | tuple | list) -> list[DataSample]:
        """Predict a batch as the data loader gives it. No member sees more than the rows it is asked for."""
        return self._run_forward(data, mode='predict')

    val_step = test_step

    def unpack(self, data: dict | tuple | list) -> tuple[list[Tensor], list[int] | None, list[DataSample]]:
        """What a batch of the data loader holds: its views, the images' indexes in the data set, its data samples."""
        inputs, samples = (data['inputs'], data.get('data_samples')) if isinstance(data, dict) else data
        views = as_views(inputs)
        units = units_of(self.ready_router(views).policy, samples)
        return views, units, samples if samples is not None else [DataSample() for _ in range(len(views[0]))]

    def write_results(self, outcome: Outcome, data_samples: Sequence[DataSample]) -> None:
        """Write finished units into their data samples, which stand in the order of the outcome."""
        outcome = outcome.cpu()
        probs = outcome.probs
        accept = math.inf if self.accept is None else self.accept
        rows = zip(data_samples, probs, probs.argmax(1).tolist(), outcome.confidence.tolist(),
                   (outcome.confidence >= accept).tolist(), outcome.exit_stage.tolist(), outcome.macs.tolist(),
                   outcome.finite_stages.tolist(), strict=True)
        for sample, score, label, confidence, accepted, exit_stage, macs, finite_stages in rows:
            # A copy: pickling a row of the batch would write the whole batch with every sample.
            sample.set_pred_score(score.clone()).set_pred_label(label)
            sample.set_field(confidence, 'confidence')
            sample.set_field(exit_stage, 'exit_stage')
            sample.set_field(macs, 'macs')
            sample.set_field(finite_stages, 'finite_stages')
            sample.set_field(len(self.stages), 'num_stages', field_type='metainfo')
            if self.accept is not None:
                sample.set_field(accepted, 'accepted')

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

    def identity(self, with_weights: bool = True) -> CascadeIdentity:
        """What thresholds depend on. Fingerprints of the weights read every weight once."""
        weights = {name: module_fingerprint(member) if with_weights else ''
                   for name, member in self.members.items()}
        return CascadeIdentity(
            tuple(stage.identity(weights[stage.member]) for stage in self.stages),
            self._confidence_name, self.fusion, self._precision(), self._detector)

    def _use(self, calibration: Calibration) -> WindowPolicy:
        if any(stage.temperature != 1 for stage in self.stages):
            raise ValueError('a calibration gives the temperatures; leave temperature= out of the stages')
        calibration.without_weights().check(self.identity(with_weights=False))
        for stage, temperature in zip(self.stages, calibration.temperatures, strict=True):
            stage.temperature = temperature
        self.accept = calibration.accept
        self._unchecked = calibration
        return calibration.policy()

    def _precision(self) -> str:
        device = next(self.parameters(), torch.empty(0)).device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else torch.float32
        return str(dtype).removeprefix('torch.')

    def _check_calibration(self, calibration: Calibration) -> None:
        calibration.check(self.identity())
        if calibration.cascade.precision != self._precision():
            warnings.warn(f'the thresholds were calibrated in {calibration.cascade.precision} and this test runs in '
                          f'{self._precision()}: scores near a bound may fall on its other side', stacklevel=2)
        self._unchecked = None

    def ready_router(self, views: Sequence[Tensor] = ()) -> CascadeRouter:
        """The router, once everything that a test needs is there.

        Args:
            views: a first batch, from whose shapes stages find what they left open.

        Raises:
            RuntimeError: if weights or the exit policy are missing.
        """
        if self._unloaded:
            raise RuntimeError(
                f'no weights were loaded for member(s) {sorted(self._unloaded)}: give each a checkpoint= (a path, or '
                "'zoo'), or load a bundle made by tools/bundle_checkpoint.py")
        if self.router is None:
            raise RuntimeError(
                f'this cascade of {len(self.stages)} stages has no exit policy; give the model policy=dict(type='
                f"'mmcascade.WindowPolicy', windows=[...]) with {len(self.stages) - 1} window(s), or calibration= "
                'with a file made by tools/calibrate.py')
        if self._unchecked is not None:
            self._check_calibration(self._unchecked)
        if self._unchecked_features:
            self.confidence.check({stage.source: stage.weights for stage in self.identity().stages})
            self._unchecked_features = False
        for stage in self.stages:
            stage.settle(views)
        return self.router


def units_of(policy: ExitPolicy, data_samples: Sequence[DataSample] | None) -> list[int] | None:
    """The images' indexes in the data set; None if the policy can do without and there are none."""
    indexes = None if data_samples is None else [sample.get('sample_idx') for sample in data_samples]
    if indexes is not None and None not in indexes:
        return [int(index) for index in indexes]
    if policy.needs_unit:
        raise ValueError(f"{policy!r} decides by each image's index in the data set, but the data samples have no "
                         "'sample_idx'; keep it in the meta_keys of PackInputs")
    return None if indexes is None else list(range(len(indexes)))


def _check_whole_cascade(model: WindowCascadeClassifier, state_dict: Mapping[str, Tensor], prefix: str,
                         *_: Any) -> None:
    """A checkpoint given for the whole cascade must hold the whole cascade, whoever loads it and however strictly."""
    given = {key[len(prefix):]: value for key, value in state_dict.items() if key.startswith(prefix)}
    report = differences(model.state_dict(), given)
    if report:
        raise RuntimeError(
            'the checkpoint does not fit this cascade:\n' + '\n'.join(report) + '\nThe weights of a single member '
            "belong into that member's checkpoint=; a checkpoint for the whole cascade is made by "
            'tools/bundle_checkpoint.py')


def _mark_loaded(model: WindowCascadeClassifier, _: Any) -> None:
    model._unloaded = set()
    model.eval()  # some networks derive tensors from their weights when they enter eval mode
