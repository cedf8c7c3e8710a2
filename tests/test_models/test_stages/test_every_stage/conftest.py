# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Each kind of stage, made once for all tests that do not change it."""

from __future__ import annotations

import pytest
import torch

from tests.test_models.test_stages.test_every_stage.cases import Case, Ran, run
from tests.test_models.test_stages.test_every_stage.kinds import KINDS, NAMES


@pytest.fixture(scope='package', autouse=True)
def own_cache(tmp_path_factory):
    """Of graphs and batch sizes."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('XDG_CACHE_HOME', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='package', params=NAMES)
def name(request):
    return request.param


@pytest.fixture(scope='package')
def case(name) -> Case:
    """A stage that no test changes."""
    return KINDS[name].build()


@pytest.fixture(scope='package')
def whole(case) -> Ran:
    """What it gives of all units at once."""
    with torch.no_grad():
        return run(case.stage, case.batch())


@pytest.fixture(autouse=True)
def without_gradients():
    """As routers run stages."""
    with torch.no_grad():
        yield
