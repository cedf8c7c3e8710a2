# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What tests fit and replay, from the things that they have: stored stages and labels, or a store."""

from __future__ import annotations

import numpy as np

from mmcascade.calibration.fit.calibrate import calibrate
from mmcascade.calibration.fit.one_sided.shares import fit_shares
from mmcascade.calibration.fit.request import CalibrationRequest
from mmcascade.calibration.fit.scores.exit_maps import fit_maps
from mmcascade.calibration.fit.target import Target
from mmcascade.calibration.fit.two_sided.windows import fit_windows
from mmcascade.calibration.replay.quality import MeanIoU, class_iou, pixel_counts
from mmcascade.calibration.replay.routes import route
from mmcascade.calibration.replay.stored_stages import StoredCells, StoredScores
from mmcascade.routing import WindowPolicy


def fit_store(store, identity, target, **options):
    """A calibration of a store."""
    return calibrate(store, identity, CalibrationRequest(target, **options))


def source_of(stages, labels, confidence='max_prob', fusion='prob', units=None):
    """Exits of all stages in order, and the units, or some of them."""
    source = StoredScores(stages, np.asarray(labels), confidence, fusion)
    exits = source.along(tuple(range(len(stages))))
    if units is None:
        return exits, source.units
    return [exit_.select(units) for exit_ in exits], source.units.of_groups(units)


def windows_of(stages, labels, target, confidence='max_prob', fusion='prob', units=None, **options):
    """Fitted windows of stored stages."""
    return fit_windows(*source_of(stages, labels, confidence, fusion, units), CalibrationRequest(target, **options))


def shares_of(stages, labels, target, units=None, **scoring):
    """Fitted one-sided windows of stored stages."""
    wanted = target if isinstance(target, Target) else Target.parse(target)
    return fit_shares(*source_of(stages, labels, units=units, **scoring), wanted)


def maps_of(stages, labels, policy, units=None, **scoring):
    """Fitted score maps of stored stages."""
    exits, units_ = source_of(stages, labels, units=units, **scoring)
    return fit_maps(exits, route(exits, policy, units_).exit_stage)


class CellResult:
    """What a policy does with the cells of a store, by the names of its parts; images are numbered from 0."""

    def __init__(self, routes):
        self.routes = routes
        self.image, self.exit_stage, self.confidence = routes.units.group, routes.exit_stage, routes.confidence
        self.macs, self.reached, self.deferred = routes.cost, routes.reached(), routes.deferred
        self.intersect, self.predicted = np.split(routes.sums, 2, axis=1)
        self.label = routes.units.label

    def class_iou(self):
        return class_iou(*pixel_counts(self.routes))

    def miou(self, images=None):
        return MeanIoU().measure(self.routes, images)

    def accuracy(self, images=None):
        return MeanIoU().share_right(self.routes, images)


def replay_cells(store, chain, policy, images=None):
    """What a policy does with the cells of a store."""
    return CellResult(StoredCells(store).route(chain, policy, images))


def replay_stage(store, stage):
    """One stage alone on all cells."""
    source = StoredCells(store)
    return CellResult(route([source.alone()[stage]], WindowPolicy([]), source.units, (stage,)))
