# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import pytest
import torch
from mmengine.registry import DefaultScope
from torch._subclasses.fake_tensor import FakeTensorMode

torch.set_num_threads(1)  # tiny tensors, and test processes side by side


@pytest.fixture
def fake_cuda():
    """Inside, tensors carry shapes and devices but no data, so 'cuda' works on any machine."""
    before = torch.__future__.get_overwrite_module_params_on_conversion()
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        with FakeTensorMode(allow_non_fake_inputs=True) as mode:
            yield mode
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(before)


@pytest.fixture(autouse=True, scope='module')
def default_scope_of_this_module():
    """MMEngine keeps the default scope that a config set last; the next file of tests starts without it."""
    before = set(DefaultScope._instance_dict)
    yield
    for name in set(DefaultScope._instance_dict) - before:
        del DefaultScope._instance_dict[name]
