# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade of classifiers as one MMPretrain model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmpretrain.structures import DataSample
from torch import Tensor

from mmcascade.models.cascade_model import CascadeModel
from mmcascade.models.members.members import Member
from mmcascade.models.parts.cascade_parts import (
    ConfidenceSpec,
    build_stages,
    check_confidence,
    classifier_from_spec,
    scores_for,
)
from mmcascade.models.parts.unpacked import Unpacked
from mmcascade.models.stages.classifier_stage import ClassifierStage
from mmcascade.models.stages.views.batch_views import as_views
from mmcascade.registry import MODELS, TASK_UTILS
from mmcascade.routing import Confidence, ExitPolicy, Outcome, build_confidence
from mmcascade.routing.fusion.distribution import log_floored
from mmcascade.routing.units.sources import Source, ViewRows


@MODELS.register_module()
class WindowCascadeClassifier(CascadeModel):
    """Pretrained classifiers as a routed cascade (Xia & Bouganis 2023; Wang et al. 2022).

    Stage 0 sees every image; each later stage only the images that the policy sends on. Images in the data samples
    come back with ``pred_score`` and ``pred_label`` of the fused scores, and ``confidence`` (higher = more certain),
    ``exit_stage`` (from 0), ``macs`` (multiply-adds spent on this image), ``finite_stages``, ``num_stages``,
    ``accepted`` where an accept threshold is set, and ``missed``, per stage 1 where it gave nothing finite, for images
    where one did.

    Args:
        members: per name a dict with ``model`` (zoo name, ``lib::config``, config path, inline dict or a module)
            and ``checkpoint`` (path, 'zoo' or None); see :func:`~mmcascade.models.members.members.build_member`.
        stages: dicts with ``member``, and optionally ``view`` (index, default 0), ``batch_size`` (default:
            whatever arrives), ``macs`` (multiply-adds per image, default: counted), ``temperature`` (default 1),
            ``resize``, ``flip``, ``interpolation`` (see
            :class:`~mmcascade.models.stages.views.device_view.DeviceView`), and ``channels_last``, ``amp``,
            ``compile`` (see :class:`~mmcascade.models.runtimes.execution.Execution`).
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

    Example:
        >>> import torch
        >>> from mmpretrain.structures import DataSample
        >>> _ = torch.manual_seed(0)
        >>> small, large = (torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(12, 3)) for _ in range(2))
        >>> cascade = WindowCascadeClassifier(
        ...     members=dict(small=dict(model=small), large=dict(model=large)),
        ...     stages=[dict(member='small', macs=36), dict(member='large', macs=36)],
        ...     policy=dict(type='mmcascade.ThresholdPolicy', thresholds=[1.0]),  # everybody goes on
        ...     accept=0.5)
        >>> batch = dict(inputs=[torch.rand(3, 2, 2)], data_samples=[DataSample()])
        >>> sample = cascade.test_step(batch)[0]
        >>> sample.exit_stage, sample.macs, sample.accepted == (sample.confidence >= 0.5)
        (1, 72.0, True)
    """

    task = 'classification'
    stages: list[ClassifierStage]

    def __init__(
        self,
        members: Mapping[str, Any],
        stages: Sequence[Mapping[str, Any]],
        confidence: ConfidenceSpec = 'max_prob',
        fusion: str = 'prob',
        policy: Mapping[str, Any] | ExitPolicy | None = None,
        accept: float | None = None,
        calibration: str | Path | Mapping[str, Any] | None = None,
        data_preprocessor: Any = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(members, stages, confidence, fusion, policy, accept, calibration, data_preprocessor, init_cfg)

    def _build_member(self, name: str, spec: Any) -> Member:
        return classifier_from_spec(name, spec)

    def _build_confidence(self, confidence: ConfidenceSpec) -> Confidence:
        return build_confidence(TASK_UTILS.build(confidence) if isinstance(confidence, Mapping) else confidence)

    def _build_stages(self, stages: Sequence[Mapping[str, Any]]) -> list[ClassifierStage]:
        built = build_stages(self.members, stages, scores_for(self.confidence))
        check_confidence(self.confidence, built, self.members)
        return built

    def forward(
        self, inputs: Tensor | Sequence[Tensor], data_samples: list[DataSample] | None = None, mode: str = 'tensor'
    ) -> Tensor | list[DataSample]:
        """Route one batch.

        Args:
            inputs: raw images ``(N, 3, H, W)``, or one such tensor per view.
            data_samples: N samples, which are written to and returned; made where there are none.
            mode: 'predict' gives data samples; 'tensor' gives fused log-probabilities ``(N, C)``.
        """
        return super().forward(inputs, data_samples, mode)

    def _as_tensors(self, outcome: Outcome | None, samples: Sequence[DataSample]) -> Tensor:
        return torch.zeros(0, 0) if outcome is None else log_floored(outcome.probs)

    def take_apart(self, inputs: Any, samples: Sequence[DataSample] | None) -> Unpacked:
        """The units of a batch, without running or loading anything."""
        views = ViewRows(as_views(inputs))
        units = units_of(None if self.router is None else self.router.policy, samples)
        samples = [DataSample() for _ in range(len(views))] if samples is None else samples
        return Unpacked([views], [units], samples, [1] * len(views))

    def views_of(self, inputs: Any) -> Sequence[Tensor | Sequence[Tensor]]:
        """The images of a batch, view by view."""
        return as_views(inputs)

    def images_in(self, sources: Sequence[Source]) -> int:
        """How many images the sources hold."""
        return sum(map(len, sources))

    def write_results(self, outcome: Outcome, data_samples: Sequence[DataSample]) -> None:
        """Write finished units into their data samples, which stand in the order of the outcome."""
        outcome = outcome.cpu()
        probs = outcome.probs
        accept = math.inf if self.accept is None else self.accept
        rows = zip(
            data_samples,
            probs,
            probs.argmax(1, keepdim=True),
            outcome.confidence.tolist(),
            (outcome.confidence >= accept).tolist(),
            outcome.exit_stage.tolist(),
            outcome.macs.tolist(),
            outcome.finite_stages.tolist(),
            outcome.missed_stages.tolist(),
            strict=True,
        )
        for sample, score, label, confidence, accepted, exit_stage, macs, finite_stages, missed in rows:
            # Copies: pickling a row of the batch would write the whole batch with every sample.
            sample.set_pred_score(score.clone())
            sample.set_field(label.clone(), 'pred_label', dtype=torch.Tensor)  # what set_pred_label does, but faster
            sample.set_field(confidence, 'confidence')
            sample.set_field(exit_stage, 'exit_stage')
            sample.set_field(macs, 'macs')
            sample.set_field(finite_stages, 'finite_stages')
            sample.set_field(len(self.stages), 'num_stages', field_type='metainfo')
            if missed:
                sample.set_field([missed >> k & 1 for k in range(len(self.stages))], 'missed')
            if self.accept is not None:
                sample.set_field(accepted, 'accepted')


def units_of(policy: ExitPolicy | None, data_samples: Sequence[DataSample] | None) -> list[int] | None:
    """The images' indexes in the data set; None if the policy can do without and there are none."""
    indexes = None if data_samples is None else [sample.get('sample_idx') for sample in data_samples]
    if indexes is not None and None not in indexes:
        return [int(index) for index in indexes]
    if policy is not None and policy.needs_unit:
        raise ValueError(
            f"{policy!r} decides by each image's index in the data set, but the data samples have no "
            "'sample_idx'; keep it in the meta_keys of PackInputs"
        )
    return None if indexes is None else list(range(len(indexes)))
