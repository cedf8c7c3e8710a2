# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Two tiny members and the views of some images."""

from __future__ import annotations

import pytest

from tests.support.members.tiny_models import images, tiny
from tests.test_models.test_classifier.cascades import SIZES, N


@pytest.fixture(scope='module')
def members():
    return dict(resnet=tiny('resnet'), mobilenet=tiny('mobilenet', 1), vit=tiny('vit', 2), other=tiny('resnet', 3))


@pytest.fixture(scope='module')
def views():
    return [images(N, size, seed=7) for size in SIZES]
