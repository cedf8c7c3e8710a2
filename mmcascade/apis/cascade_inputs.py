# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is handed in to a cascade in Python: tensors, or images of all kinds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmcascade.engine.predict.deciders.lazy_views import LazyViews, MakeView
from mmcascade.models.members.recipes.recipe import Recipe
from mmcascade.routing.units.sources import ViewRows
from mmcascade.runtime.fields import Fields
from mmcascade.runtime.preprocessing.images import ImageLike, read_image
from mmcascade.runtime.preprocessing.views import View

Batch = Tensor | Sequence[ImageLike]


class MemberViews:
    """What each member sees; equal recipes share a view, and modules without one see the tensors as they are.

    Args:
        recipes: one per member, None for a module.

    Attributes:
        numbers: the view of each member.
    """

    def __init__(self, recipes: Sequence[Recipe | None]) -> None:
        texts = [None if recipe is None else json.dumps(recipe.view, sort_keys=True) for recipe in recipes]
        distinct = list(dict.fromkeys(texts))
        self.numbers = [distinct.index(text) for text in texts]
        self._steps = [None if text is None else json.loads(text) for text in distinct]

    def source(self, batch: Batch) -> ViewRows:
        """The units of a batch.

        Args:
            batch: a tensor ``(N, ...)``, which every member sees as it is (raw images ``(N, 3, H, W)`` from 0 to 255
                for members that are named by a string); or a list of paths, encoded bytes, RGB arrays or pictures of
                Pillow, from which each view is made for the images that get to its stage.

        Raises:
            TypeError: if images are given to modules that bring no preprocessing along, or one image is no list.
        """
        if isinstance(batch, Tensor):
            return ViewRows([batch] * len(self._steps))
        if any(steps is None for steps in self._steps):
            raise TypeError(
                'a member that is a module says nothing of how images are prepared; give a tensor (N, ...) as it takes '
                'them, or name the member by a string such as timm/NAME'
            )
        if isinstance(batch, str | Path | bytes | Image.Image) or (isinstance(batch, np.ndarray) and batch.ndim < 4):
            raise TypeError(f'images come as a list, and this is one {type(batch).__name__}; write [image]')
        makers = [_by_recipe(steps) for steps in self._steps if steps is not None]
        return LazyViews([read_image(image) for image in batch], makers)


def _by_recipe(steps: Mapping[str, Any]) -> MakeView:
    view = View.read(Fields(steps, 'view'))
    return lambda image: torch.from_numpy(view(image))
