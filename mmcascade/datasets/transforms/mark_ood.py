# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Saying of images that they do not belong to the classes."""

from __future__ import annotations

from typing import Any

from mmcv.transforms import BaseTransform

from mmcascade.registry import TRANSFORMS

#: Names with a meaning of their own in the metrics' keys.
RESERVED_NAMES = ('id', 'all')


@TRANSFORMS.register_module()
class MarkOOD(BaseTransform):
    """Marks every image of a pipeline as out of distribution (OOD).

    It goes right before ``PackInputs``, which must keep what it adds:

    ``dict(type='mmcascade.MarkOOD', name='textures'),``
    ``dict(type='PackInputs', algorithm_keys=('ood', 'dataset'))``

    Images without this mark count as in distribution.

    **Added keys:** ``ood`` (True), ``dataset`` (the name) and ``gt_label`` (-1, in place of any other label).

    Args:
        name: the data set in the keys of the metrics, such as ``ood/textures/auroc``.

    Raises:
        ValueError: if the name is empty, holds a '/', or is one of :data:`RESERVED_NAMES`.
    """

    def __init__(self, name: str) -> None:
        if not isinstance(name, str) or not name or '/' in name or name in RESERVED_NAMES:
            raise ValueError(
                f"name= of MarkOOD becomes a part of metric keys such as 'ood/<name>/auroc', so it is a "
                f"non-empty string without '/' and none of {RESERVED_NAMES}, got {name!r}"
            )
        self.name = name

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Add the mark to one image."""
        results.update(ood=True, dataset=self.name, gt_label=-1)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(name={self.name!r})'
