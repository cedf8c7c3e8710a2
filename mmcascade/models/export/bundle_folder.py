# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The folder of a bundle of either task, which is written whole once the bundle has been compared with its cascade."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from mmcascade._system.files import folder_written_whole
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.calibration.fit.result.summary import sentences
from mmcascade.models.export.card import card
from mmcascade.models.export.checking.reports import ExportReport, SegmentationReport
from mmcascade.models.export.checking.samples import write_samples
from mmcascade.runtime import Bundle, SegmentationBundle
from mmcascade.runtime.description.manifest import NAME

AnyBundle = TypeVar('AnyBundle', bound=Bundle | SegmentationBundle)
AnyReport = TypeVar('AnyReport', bound=ExportReport | SegmentationReport)
#: Files, and what is promised of each, as data.
Samples = Sequence[tuple[Path, Mapping[str, Any]]]


def check_empty(folder: Path) -> None:
    """Raise FileExistsError if there is something in a folder."""
    if folder.exists() and any(folder.iterdir()):
        raise FileExistsError(f'{folder} is not empty; a bundle is written into a folder of its own')


def write_bundle(
    folder: Path,
    manifest: dict[str, Any],
    graphs: Mapping[str, bytes],
    kind: type[AnyBundle],
    compare: Callable[[AnyBundle], tuple[AnyReport, Samples]],
    title: str,
    calibration: Calibration | None,
) -> AnyReport:
    """Write a bundle; nothing is left of one that decides otherwise than its cascade.

    Args:
        folder: to write.
        manifest: its cascade.json; gets what was found as ``expected``.
        graphs: by the names of their files.
        kind: what opens it.
        compare: compares the opened bundle with the cascade, and chooses its samples. There may be none: every image
            may be too large to take along, or too near to a bound.
        title: the cascade's name, for its card.
        calibration: what its figures and its promise are.

    Raises:
        BundleError: if the bundle decides otherwise than the cascade.
    """
    told: list[str] = [] if calibration is None else sentences(calibration)
    with folder_written_whole(folder) as part:
        for name, graph in graphs.items():
            (part / name).write_bytes(graph)
        (part / NAME).write_text(json.dumps(manifest, indent=1))
        report, samples = compare(kind(part))
        manifest['expected'] = report.expected
        (part / NAME).write_text(json.dumps(manifest, indent=1))
        write_samples(part, samples)
        if samples:
            kind(part).check()
        (part / 'README.md').write_text(card(manifest, title, [*told, *report.sentences()]))
    return report
