# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A cascade in Python, without a config."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from mmcascade._system.files import read_json, write_json
from mmcascade.apis.cascade_inputs import Batch, MemberViews
from mmcascade.apis.evaluation import Evaluation
from mmcascade.apis.member_outputs import Loader, MemberOutputs
from mmcascade.apis.named_modules import module_of, names_of, split_checkpoint
from mmcascade.apis.plain_exit_stage import exit_stages
from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.stores.identity import CascadeIdentity
from mmcascade.calibration.worth.systems import stage_names
from mmcascade.models.members.weights.saving import save_weights
from mmcascade.routing import CascadeRouter, Outcome
from mmcascade.runtime import Decision

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEMA = 1
MEMBERS, CALIBRATION = 'members.json', 'calibration.json'


class Cascade:
    """Classifiers as a cascade: modules of plain torch, or names such as ``timm/NAME``, cheap first.

    Modules and names of timm, torchvision and Hugging Face need nothing of OpenMMLab.

    Args:
        members: modules that give logits ``(N, classes)``; or strings: ``timm/NAME``, ``torchvision/NAME``,
            ``hf-hub:ORG/NAME`` or a folder of Hugging Face, a name in the zoo of MMPretrain, or the path of a config.
            Behind a string may stand, after a space, the checkpoint of its weights. Preprocessing comes along. A module
            with ``exits`` and ``step`` stands for all its exits, each of which goes on from the one before; one such
            module is a cascade by itself, in which a deeper exit's answer takes the place of the earlier one's.
        classes: names of the classes, for decisions.
        weights: per member the weights that it will be given, so that none are fetched; for :meth:`load`.

    Raises:
        ValueError, FileNotFoundError: if a string names no network.

    Example:
        >>> _ = torch.manual_seed(0)
        >>> x = torch.randn(400, 6)
        >>> y = (x.sum(1) > 0).long() + (x[:, 0] > 1).long()
        >>> small, large = torch.nn.Linear(6, 3), torch.nn.Sequential(torch.nn.Linear(6, 64), torch.nn.Linear(64, 3))
        >>> cascade = Cascade([small, large], classes=['a', 'b', 'c'])
        >>> cascade.calibrate([(x, y)], target='coverage=0.8').calibration.target
        'coverage=0.8'
        >>> decision = cascade.predict(x[:5])[0]
        >>> decision.class_name in 'abc', decision.exit_stage in (0, 1), decision.macs in (18.0, 18.0 + 576.0)
        (True, True, True)
    """

    def __init__(
        self,
        members: Sequence[str | nn.Module],
        classes: Sequence[str] | None = None,
        weights: Sequence[Mapping[str, Tensor] | None] | None = None,
    ) -> None:
        weights = weights or [None] * len(members)
        networks = [module_of(member, given) for member, given in zip(members, weights, strict=True)]
        # Without the checkpoint: save() writes the weights.
        self.sources = [split_checkpoint(member)[0] if isinstance(member, str) else None for member in members]
        known = [classes, *(names for _, _, names in networks)]
        self.classes = next((tuple(names) for names in known if names), None)
        self._views = MemberViews([recipe for _, recipe, _ in networks])
        self._modules = dict(zip(names_of(members), (module for module, _, _ in networks), strict=True))
        self.stages = [
            stage
            for (name, module), view in zip(self._modules.items(), self._views.numbers, strict=True)
            for stage in exit_stages(name, module, view)
        ]
        if len(self.stages) < 2:
            raise ValueError(f'a cascade has two members or more, or exits of one network, got {len(members)}')
        alone = len(self._modules) == 1
        self.fusion = 'replace' if alone else 'prob'  # exits of one network are of different accuracy
        self.calibration: Calibration | None = None
        self._router: CascadeRouter | None = None

    @property
    def members(self) -> list[str]:
        """Names of the members, or of their exits, in order."""
        stages = tuple(stage.identity('') for stage in self.stages)
        return list(stage_names(CascadeIdentity(stages, 'max_prob', self.fusion)))

    def to(self, device: str | torch.device) -> Cascade:
        """Move all members."""
        for stage in self.stages:
            stage.module.to(device)
        return self

    def calibrate(self, loader: Loader, target: str, certify: float | None = None) -> Cascade:
        """Run every member on labelled images that none was trained on, and fit windows and accept threshold.

        Args:
            loader: batches of inputs (see :meth:`predict`) and labels.
            target: 'risk=0.05', 'coverage=0.8', 'accuracy=0.93', 'macs=300M', ...
            certify: promise the risk for unseen images, except with this probability.

        Raises:
            ValueError: if there is no image, or the target cannot be reached.
        """
        request = CalibrationRequest(target, certify=certify)
        request.check_classifier()
        given = MemberOutputs.of(self.stages, self._views, loader)
        self._check_classes(given.outputs[0].values.shape[1])
        identity = self.identity()
        with tempfile.TemporaryDirectory() as folder:
            store = given.store(Path(folder) / 'store', identity)
            self._use(calibrate(store, identity, request))
        return self

    def _check_classes(self, count: int) -> None:
        if self.classes is not None and len(self.classes) != count:
            raise ValueError(
                f'the members tell {count} classes apart, and classes= names {len(self.classes)}; name each of them '
                "once, in the order of the members' outputs, or leave classes= out"
            )

    def predict(self, batch: Batch) -> list[Decision]:
        """Decide on a batch: stage 0 runs on all of it, each later stage on those that go on.

        Args:
            batch: a tensor ``(N, ...)`` that every member takes as it is; or, for members that are named by a string, a
                list of paths, encoded bytes, RGB arrays or pictures of Pillow.

        Returns:
            Per image label, class_name, confidence, accepted, exit_stage, macs and probabilities.

        Raises:
            ValueError: before :meth:`calibrate`.
        """
        if self._router is None:
            raise ValueError('this cascade has no windows yet; calibrate it: cascade.calibrate(loader, target=...)')
        outcome = self._router.route(self._views.source(batch))
        return [] if outcome is None else self._decisions(outcome.cpu())

    def evaluate(self, loader: Loader) -> Evaluation:
        """Members, ensemble and cascade on labelled images, from one run of every member.

        Args:
            loader: as for :meth:`calibrate`; other images than those.
        """
        if self.calibration is None:
            raise ValueError('this cascade has no windows yet; calibrate it: cascade.calibrate(loader, target=...)')
        given = MemberOutputs.of(self.stages, self._views, loader)
        return Evaluation.of(self.members, given, self.calibration)

    def plot(self, loader: Loader) -> Figure:
        """Draw what :meth:`evaluate` finds: errors among the accepted by share accepted, and quality against cost."""
        return self.evaluate(loader).plot()

    def save(self, folder: str | Path) -> None:
        """Write weights, calibration and what the members are; modules are not written, only their weights.

        Raises:
            ValueError: before :meth:`calibrate`.
        """
        if self.calibration is None:
            raise ValueError('there is nothing to save before cascade.calibrate(loader, target=...)')
        folder = Path(folder)
        for name, module in self._modules.items():
            save_weights(module.state_dict(), folder / f'{name}.pth')
        self.calibration.save(folder / CALIBRATION)
        entries = [dict(name=name, model=model) for name, model in zip(self._modules, self.sources, strict=True)]
        classes = None if self.classes is None else list(self.classes)
        write_json(folder / MEMBERS, dict(schema=SCHEMA, members=entries, classes=classes))

    @classmethod
    def load(cls, folder: str | Path, modules: Mapping[str, nn.Module] | None = None) -> Cascade:
        """What :meth:`save` wrote.

        Args:
            folder: of it.
            modules: by name, those members that were modules, built as they were; their weights are loaded.

        Raises:
            ValueError: if such a module is missing, or weights are not those of the calibration.
        """
        folder, modules = Path(folder), dict(modules or {})
        data = read_json(folder / MEMBERS)
        schema = data.get('schema') if isinstance(data, dict) else None
        if schema != SCHEMA:
            raise ValueError(f'{folder / MEMBERS} has schema {schema!r}; this version reads {SCHEMA}')
        missing = [entry['name'] for entry in data['members'] if not entry['model'] and entry['name'] not in modules]
        if missing:
            raise ValueError(
                f'the members {missing} were modules, which are not written to files; build them and give them: '
                f'Cascade.load(folder, modules={{{missing[0]!r}: ...}})'
            )
        names = [entry['name'] for entry in data['members']]
        weights = [torch.load(folder / f'{name}.pth', map_location='cpu', weights_only=True) for name in names]
        made = cls(
            [modules.get(entry['name']) or entry['model'] for entry in data['members']], data['classes'], weights
        )
        renamed = dict(zip(made._modules, names, strict=True))
        for stage in made.stages:
            stage.member = renamed[stage.member]
        made._modules = {renamed[name]: module for name, module in made._modules.items()}
        for module, given in zip(made._modules.values(), weights, strict=True):
            module.load_state_dict(given)
            module.eval()  # some networks derive tensors from their weights when they enter eval mode
        calibration = Calibration.load(folder / CALIBRATION)
        calibration.check(made.identity())
        made._use(calibration)
        return made

    def identity(self) -> CascadeIdentity:
        """What thresholds depend on; reads every weight."""
        return CascadeIdentity(tuple(stage.identity() for stage in self.stages), 'max_prob', self.fusion)

    def _use(self, calibration: Calibration) -> None:
        self.calibration = calibration
        for stage, temperature in zip(self.stages, calibration.temperatures, strict=True):
            stage.temperature = temperature
        self._router = CascadeRouter(self.stages, calibration.policy(), fusion=self.fusion, maps=calibration.maps)

    def _decisions(self, outcome: Outcome) -> list[Decision]:
        assert self.calibration is not None
        accept, probs = self.calibration.accepts_from, outcome.probs.float().numpy()
        labels = probs.argmax(1).tolist()
        accepted = [None] * len(labels) if accept is None else (outcome.confidence >= accept).tolist()
        rows = zip(labels, outcome.confidence.tolist(), accepted, outcome.exit_stage, outcome.macs, probs, strict=True)
        return [
            Decision(label, self.classes[label] if self.classes else None, score, taken, int(stage), float(macs), row)
            for label, score, taken, stage, macs, row in rows
        ]
