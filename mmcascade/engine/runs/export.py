# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""From a cascade's config to a bundle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DATASETS, init_default_scope

from mmcascade._system.files import read_json, write_text
from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.engine.configs.datasets import pipelines, type_name
from mmcascade.models.cascades import cascade_class
from mmcascade.models.export.bundle_writer import export_bundle
from mmcascade.models.export.card import hub_card
from mmcascade.models.export.checking.reports import ExportReport, SegmentationReport
from mmcascade.models.export.one_graph.single_file import write_single_file
from mmcascade.models.members.recipes.openmmlab_recipe import pipeline_view
from mmcascade.registry import MODELS
from mmcascade.runtime import Bundle
from mmcascade.runtime.description.manifest import NAME


def run_export(
    cfg: Config, folder: Path, title: str, images: int = 256, single: bool = False
) -> tuple[ExportReport | SegmentationReport, float | None]:
    """Write the cascade of a config as a bundle, checked on images of its calibration split.

    Args:
        cfg: config of a calibrated cascade.
        folder: to write.
        title: the cascade's name, for its card.
        images: at most so many are compared, evenly spread over ``val_dataloader`` (else ``test_dataloader``).
        single: write the whole cascade as one graph beside the others, too.

    Returns:
        What was found, and the largest difference of a probability of the single graph, or None.

    Raises:
        ValueError: if the config is of something else, or holds what a bundle cannot.
    """
    kind = cascade_class(cfg)
    if kind is None:
        raise ValueError(f'bundles hold cascades, and the model of this config is {cfg.model.get("type")!r}')
    segments = kind.task == 'segmentation'
    if segments and single:
        raise ValueError(
            'a cascade of segmentors has no single graph: which crops are cut is decided outside of graphs'
        )
    split = next((key for key in ('val_dataloader', 'test_dataloader') if cfg.get(key)), None)
    if split is None:
        raise ValueError('the config has neither val_dataloader nor test_dataloader, so there is nothing to check on')
    init_default_scope(cfg.get('default_scope', 'mmseg' if segments else 'mmpretrain'))
    dataset_cfg = cfg[split].dataset
    views = config_views(pipelines(dataset_cfg)[0])
    files = image_files(DATASETS.build(dataset_cfg), images)
    model = MODELS.build(cfg.model)
    file = cfg.model.get('calibration')
    calibration = None if file is None else Calibration.load(file)
    if calibration is not None and (promise := calibration.guarantee) is not None and promise.threshold is None:
        raise ValueError(
            f'no threshold could be certified for a risk of {100 * promise.risk:g} % ({file}), so the cascade accepts '
            'nothing and there is nothing to deploy; calibrate for a higher risk or delta, on more images, or without '
            'a certificate'
        )
    if segments:
        from mmcascade.models.export.segmentor_writer import export_segmentor  # needs mmseg

        if len(views) > 1:
            raise ValueError(f'a cascade of segmentors sees one view, and the test pipeline makes {len(views)}')
        return export_segmentor(model, views[0], files, folder, title, calibration), None
    report = export_bundle(model, views, files, folder, title, calibration)
    return report, write_single_file(Bundle(folder), files) if single else None


def config_views(pipeline: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The views in a test pipeline, as data.

    Args:
        pipeline: of a data set, with or without ``MultiView``.

    Raises:
        ValueError: on a transform that is not known outside of OpenMMLab.
    """
    multi = [transform for transform in pipeline if type_name(transform) == 'MultiView']
    if not multi:
        return [pipeline_view(pipeline)]
    before = list(pipeline[: list(pipeline).index(multi[0])])
    counts, transforms = multi[0]['num_views'], multi[0]['transforms']
    counts = [counts] if isinstance(counts, int) else counts
    return [pipeline_view([*before, *own]) for count, own in zip(counts, transforms, strict=True) for _ in range(count)]


def image_files(dataset: Any, count: int) -> list[Path]:
    """Files of a data set, evenly spread over it.

    Raises:
        ValueError: if its images are no files.
    """
    chosen = np.unique(np.linspace(0, len(dataset) - 1, min(count, len(dataset))).round().astype(int))
    files = [dataset.get_data_info(int(index)).get('img_path') for index in chosen]
    if not files or None in files:
        raise ValueError(
            'the images of the data set are no files, and a bundle is checked on files; export with a data set of '
            'image files, such as CustomDataset'
        )
    return [Path(file) for file in files]


def add_hub_files(folder: Path) -> None:
    """Make a bundle's folder one that the Hugging Face Hub understands: metadata on the card, graphs as large files."""
    manifest = read_json(folder / NAME)
    card = folder / 'README.md'
    write_text(card, hub_card(manifest, card.read_text(encoding='utf-8')))
    write_text(folder / '.gitattributes', '*.onnx filter=lfs diff=lfs merge=lfs -text\n')
