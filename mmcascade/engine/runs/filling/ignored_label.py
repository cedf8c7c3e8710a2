# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Which pixels count nowhere: one number for calibration, search and test."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmcascade.calibration.stores.store_identity import IGNORED
from mmcascade.datasets.inner import outside_in


def ignored_label(cfg: Config, dataset: Any) -> int:
    """The label of pixels that count nowhere: that of the config's IoUMetric, else of the data set, else 255.

    Raises:
        ValueError: if metrics disagree.
    """
    for split in ('val', 'test'):
        found = {
            metric.get('ignore_index', IGNORED)
            for metric in _metrics(cfg.get(f'{split}_evaluator'))
            if str(metric.get('type')).endswith('IoUMetric')
        }
        if len(found) > 1:
            raise ValueError(
                f'the IoUMetric of {split}_evaluator ignore the labels {sorted(found)}, and a calibration counts the '
                'pixels of all but one; give them the same ignore_index='
            )
        if found:
            return found.pop()
    return next((layer.ignore_index for layer in outside_in(dataset) if hasattr(layer, 'ignore_index')), IGNORED)


def _metrics(evaluator: Any) -> list[Any]:
    """The configs of an evaluator's metrics, however they are written."""
    if isinstance(evaluator, (list, tuple)):
        return [metric for entry in evaluator for metric in _metrics(entry)]
    if not isinstance(evaluator, Mapping):
        return []
    return _metrics(evaluator['metrics']) if 'metrics' in evaluator else [evaluator]
