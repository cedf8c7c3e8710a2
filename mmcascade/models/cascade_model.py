# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What cascades of classifiers and of segmentors have in common."""

from __future__ import annotations

import warnings
from abc import ABCMeta, abstractmethod
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torch import Tensor, nn

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.stores.fingerprints import module_fingerprint
from mmcascade.calibration.stores.identity import CascadeIdentity, joined_precision
from mmcascade.models.members.members import Member, check_members, num_classes
from mmcascade.models.parts.cascade_parts import ConfidenceSpec, check_bounds, checked_accept
from mmcascade.models.parts.tested_classes import TestedClasses
from mmcascade.models.parts.unpacked import LoaderBatch, Unpacked
from mmcascade.models.parts.whole_checkpoint import check_whole_cascade
from mmcascade.models.stages.stage import MemberStage
from mmcascade.registry import TASK_UTILS
from mmcascade.routing import CONFIDENCES, FUSIONS, CascadeRouter, Confidence, ExitPolicy, Outcome, WindowPolicy
from mmcascade.routing.router import Results, keep_probs
from mmcascade.routing.units.sources import Source


class NotReadyError(RuntimeError):
    """A cascade lacks weights or an exit policy."""


class CascadeModel(BaseModel, metaclass=ABCMeta):
    """Base class: members are built and loaded, thresholds are checked, and batches go through the router.

    A variant names its task with the abstract methods.

    Args:
        members, stages, confidence, fusion, policy, accept, calibration: see the variants.
        data_preprocessor: ignored; members keep their own. MMEngine passes it to every model.
    """

    #: 'classification' or 'segmentation'.
    task: str
    #: What is routed, in messages.
    unit_name = 'image'
    #: What is kept of finished units.
    results: Results = staticmethod(keep_probs)

    stages: Sequence[MemberStage[Any]]
    confidence: Confidence

    def __init__(
        self,
        members: Mapping[str, Any],
        stages: Sequence[Mapping[str, Any]],
        confidence: ConfidenceSpec,
        fusion: str,
        policy: Mapping[str, Any] | ExitPolicy | None,
        accept: float | None,
        calibration: str | Path | Mapping[str, Any] | None,
        data_preprocessor: Any = None,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        del data_preprocessor
        if not isinstance(members, Mapping):
            raise TypeError(f'members is a dict of name: dict(model=..., checkpoint=...), got {members!r}')
        built = {name: self._build_member(name, spec) for name, spec in members.items()}
        check_members(list(built.values()))
        # torch's ModuleDict: mmengine's would re-initialise the loaded members in init_weights().
        self.members = nn.ModuleDict({name: member.module for name, member in built.items()})
        self._unloaded = {name for name, member in built.items() if not member.loaded}
        self.register_load_state_dict_pre_hook(check_whole_cascade)
        self.register_load_state_dict_post_hook(_mark_loaded)
        self.classes = next((m.classes for m in built.values() if m.classes), None)
        self.palette = next((m.palette for m in built.values() if m.palette), None)
        self.tested = TestedClasses(self.classes, self.num_classes)

        if fusion not in FUSIONS:
            raise ValueError(f'unknown fusion {fusion!r}; expected one of {FUSIONS}')
        self.fusion = fusion
        self.confidence = self._build_confidence(confidence)
        self.stages = self._build_stages(stages)
        self.accept = checked_accept(accept, self.confidence)
        self._unchecked: Calibration | None = None
        self._unchecked_features = self.confidence.needs_features
        maps = None
        if calibration is not None:
            if policy is not None or accept is not None:
                raise ValueError(
                    'a calibration gives the windows and the accept threshold; leave policy= and accept= '
                    'out, or calibration='
                )
            loaded = Calibration.load(calibration)
            policy, maps = self._use(loaded), loaded.maps
        if policy is None and len(self.stages) == 1:
            policy = WindowPolicy([])
        if isinstance(policy, Mapping):
            policy = TASK_UTILS.build(policy)
        if not isinstance(policy, ExitPolicy | None):
            raise TypeError(
                "policy is a config such as dict(type='mmcascade.WindowPolicy', windows=[(0.2, 0.4)]) or "
                f'an exit policy, got {policy!r}'
            )
        if policy is not None and calibration is None:
            check_bounds(policy, self.confidence)
        self.router = (
            None if policy is None else CascadeRouter(self.stages, policy, self.confidence, fusion, maps, self.results)
        )
        self.eval()

    @abstractmethod
    def _build_member(self, name: str, spec: Any) -> Member:
        """A member from its entry in the config."""

    @abstractmethod
    def _build_confidence(self, confidence: ConfidenceSpec) -> Confidence:
        """The confidence of a unit, from a name, a config or an object."""

    @abstractmethod
    def _build_stages(self, stages: Sequence[Mapping[str, Any]]) -> Sequence[MemberStage[Any]]:
        """The stages from their entries in the config."""

    @abstractmethod
    def take_apart(self, inputs: Any, samples: Sequence[BaseDataElement] | None) -> Unpacked:
        """The units of a batch, without running or loading anything.

        Args:
            inputs: as a data loader gives them.
            samples: one per image; made where there are none.
        """

    @abstractmethod
    def views_of(self, inputs: Any) -> Sequence[Tensor | Sequence[Tensor]]:
        """The images of a batch, view by view: each is ``(N, 3, H, W)`` or N times ``(3, H, W)``."""

    @abstractmethod
    def images_in(self, sources: Sequence[Source]) -> int:
        """How many images some sources hold."""

    @abstractmethod
    def write_results(self, outcome: Outcome, data_samples: Sequence[BaseDataElement]) -> None:
        """Write finished units into their data samples, which stand in the order of the outcome."""

    @abstractmethod
    def _as_tensors(self, outcome: Outcome | None, samples: Sequence[BaseDataElement]) -> Any:
        """What mode 'tensor' gives."""

    def unpack(self, data: LoaderBatch) -> Unpacked:
        """The units of a batch as a data loader or a data preprocessor gives it."""
        inputs, samples = (data['inputs'], data.get('data_samples')) if isinstance(data, dict) else data
        return self.take_apart(inputs, samples)

    def forward(self, inputs: Any, data_samples: list[BaseDataElement] | None = None, mode: str = 'tensor') -> Any:
        """Route one batch in mode 'predict', which gives data samples, or 'tensor', which gives tensors."""
        if mode == 'loss':
            raise RuntimeError(
                'a cascade has no loss: its members are trained one by one, with their own configs, and '
                'then named in members=dict(...)'
            )
        if mode not in ('tensor', 'predict'):
            raise ValueError(f"unknown mode {mode!r}; expected 'tensor' or 'predict'")
        batch = self.take_apart(inputs, data_samples)
        return self._predict(batch) if mode == 'predict' else self._as_tensors(self._route(batch), batch.samples)

    def _route(self, batch: Unpacked) -> Outcome | None:
        return self.ready(batch.sources).route_all(batch.parts)

    def _predict(self, batch: Unpacked) -> list[BaseDataElement]:
        outcome = self._route(batch)
        if outcome is not None:
            self.write_results(outcome, batch.samples)
        return list(batch.samples)

    def train(self, mode: bool = True) -> CascadeModel:
        """As for any module. Every test begins with this call, and so begins a new stream for policies that adapt."""
        super().train(mode)
        router: CascadeRouter | None = getattr(self, 'router', None)  # BaseModel asks before there is one
        if router is not None:
            router.restart()
        return self

    def test_step(self, data: LoaderBatch) -> list[BaseDataElement]:
        """Predict a batch as the data loader gives it. No member sees more than the units it is asked for."""
        batch = self.unpack(data)
        self.tested.check(batch.samples)
        return self._predict(batch)

    val_step = test_step

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = '', keep_vars: bool = False
    ) -> dict[str, Tensor]:
        """The members' weights under ``members.<name>.``, each as the member itself saves them."""
        # Wrapping classifiers rename their keys in a hook that works only on a state dict of their own.
        destination = OrderedDict() if destination is None else destination
        for name, member in self.members.items():
            for key, value in member.state_dict(keep_vars=keep_vars).items():
                destination[f'{prefix}members.{name}.{key}'] = value
        return destination

    @property
    def num_classes(self) -> int | None:
        """How many classes the members tell apart, or None if none of them says so."""
        return next((count for member in self.members.values() if (count := num_classes(member))), None)

    def init_weights(self) -> None:
        """Nothing: members are loaded when the cascade is built, or from a bundle."""

    def identity(self, with_weights: bool = True) -> CascadeIdentity:
        """What thresholds depend on. Fingerprints of the weights read every weight once."""
        weights = {name: module_fingerprint(member) if with_weights else '' for name, member in self.members.items()}
        return CascadeIdentity(
            tuple(stage.identity(weights[stage.member]) for stage in self.stages),
            self.confidence.name,
            self.fusion,
            self._precision(),
            self._grid_name(),
            None if self.confidence in CONFIDENCES.values() else self.confidence,
        )

    def _grid_name(self) -> str | None:
        return None

    def _use(self, calibration: Calibration) -> WindowPolicy:
        calibration.without_weights().check(self.identity(with_weights=False))
        given = [stage.temperature for stage in self.stages]
        if any(temperature != 1 for temperature in given) and given != list(calibration.temperatures):
            raise ValueError(
                f'the calibration gives the temperatures {calibration.temperatures}, and the stages '
                f'{given}; leave temperature= out of the stages, or calibrate again'
            )
        for stage, temperature in zip(self.stages, calibration.temperatures, strict=True):
            stage.temperature = temperature
        self.accept = calibration.accepts_from
        self._unchecked = calibration
        return calibration.policy()

    def _precision(self) -> str:
        """The members' arithmetic: 'float32', or, where stages differ, that of each stage."""
        device = next(self.parameters(), torch.empty(0)).device.type
        return joined_precision([stage.execution.arithmetic(device) for stage in self.stages])

    def _check_calibration(self, calibration: Calibration) -> None:
        calibration.check(self.identity())
        if calibration.cascade.precision != self._precision():
            warnings.warn(
                f'the thresholds were calibrated in {calibration.cascade.precision} and this test runs in '
                f'{self._precision()}: scores near a bound may fall on its other side',
                stacklevel=2,
            )
        self._unchecked = None

    def check_loaded(self) -> None:
        """Raise NotReadyError if a member still has the weights that it was built with."""
        if self._unloaded:
            raise NotReadyError(
                f'no weights were loaded for member(s) {sorted(self._unloaded)}: give each a checkpoint= (a path, or '
                "'zoo'), or load a bundle made by tools/bundle_checkpoint.py"
            )

    def ready(self, sources: Sequence[Source] = ()) -> CascadeRouter:
        """The router, once everything that a test needs is there. Call it with every batch before that is routed.

        The first call reads all weights and may try batch sizes; later ones cost nothing but for images of a new size.

        Args:
            sources: of a batch, from whose shapes stages find what they left open.

        Raises:
            NotReadyError: if weights or the exit policy are missing.
            CalibrationError: if the calibration was made for other weights.
            ValueError: if a member does not take images of their size.
        """
        self.check_loaded()
        if self.router is None:
            raise NotReadyError(
                f'this cascade of {len(self.stages)} stages has no exit policy; give the model policy=dict(type='
                f"'mmcascade.WindowPolicy', windows=[...]) with {len(self.stages) - 1} window(s), or calibration= "
                'with a file made by tools/calibrate.py'
            )
        if self._unchecked is not None:
            self._check_calibration(self._unchecked)
        if self._unchecked_features:
            self.confidence.check({stage.source: stage.weights for stage in self.identity().stages})
            self._unchecked_features = False
        for stage in self.stages:
            stage.settle(sources)
        return self.router


def _mark_loaded(model: CascadeModel, _: Any) -> None:
    model._unloaded = set()
    model.eval()  # some networks derive tensors from their weights when they enter eval mode
