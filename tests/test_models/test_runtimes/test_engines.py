# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import numpy as np
import pytest

from mmcascade.models.runtimes.engines import ENGINES, engine_from, installed
from mmcascade.models.runtimes.engines.onnx_runtime import OnnxRuntime
from mmcascade.models.runtimes.engines.openvino import OpenVino

pytestmark = pytest.mark.slow


def test_names_dicts_and_objects_name_an_engine():
    assert engine_from('onnxruntime') == OnnxRuntime()
    assert engine_from('openvino:bfloat16') == OpenVino(precision='bfloat16')
    assert engine_from(dict(type='openvino', precision='bfloat16', threads=2)) == OpenVino('bfloat16', 2)
    assert engine_from(OnnxRuntime(threads=3)) == OnnxRuntime(threads=3)
    assert engine_from(None) is engine_from('torch') is engine_from(dict(type='torch')) is None


@pytest.mark.parametrize(
    'runtime, says',
    [
        ('tflite', "'tflite'"),
        (3, 'got 3'),
        (dict(precision='int8'), 'or a dict such as'),
        (dict(type='torch', threads=2), r"\['threads'\], which torch does not take"),
        (dict(type='openvino', treads=2), 'treads'),
        ('onnxruntime:bfloat16', r"one of \('float32', 'int8'\), got 'bfloat16'"),
        ('openvino:int8', "images='FILE.npy'"),
        (dict(type='openvino', images='x.npy'), 'other precisions take none'),
        (dict(type='onnxruntime', threads=0), 'whole number >= 1 or None, got 0'),
    ],
)
def test_what_is_no_runtime_is_refused_with_the_choice(runtime, says):
    with pytest.raises(ValueError, match=says):
        engine_from(runtime)


@pytest.mark.parametrize('name', sorted(ENGINES))
def test_a_missing_library_names_the_extra(name, monkeypatch):
    engine = engine_from(name)

    def missing(self):
        raise ModuleNotFoundError(f"No module named '{name}'")

    monkeypatch.setattr(type(engine), 'version', missing)
    with pytest.raises(ValueError, match=rf'mmcascade\[{engine.extra}\]'):
        engine.check_installed()
    assert name not in installed()


@pytest.mark.parametrize(
    'runtime, says',
    [
        (dict(type='onnxruntime', provider='NoProvider'), 'CPUExecutionProvider'),
        (dict(type='openvino', device='NPUX'), "no device 'NPUX'"),
    ],
)
def test_a_device_that_is_not_there_is_refused(runtime, says):
    pytest.importorskip(runtime['type'])
    with pytest.raises(ValueError, match=says):
        engine_from(runtime).check_installed()


def test_arithmetic_tells_engines_precisions_and_images_apart(tmp_path):
    for name in 'ab':
        np.save(tmp_path / f'{name}.npy', np.full((2, 3, 4, 4), ord(name), np.uint8))
    names = [
        engine_from(runtime).arithmetic
        for runtime in (
            'onnxruntime',
            'openvino',
            'openvino:bfloat16',
            *(dict(type='openvino', precision='int8', images=str(tmp_path / f'{name}.npy')) for name in 'ab'),
        )
    ]
    assert len(set(names)) == 5
    assert not any(', ' in name for name in names)  # which separates stages
    assert names[:3] == ['float32 in onnxruntime', 'float32 in openvino', 'bfloat16 in openvino']


def test_images_of_another_shape_are_refused(tmp_path):
    np.save(tmp_path / 'x.npy', np.zeros((2, 3, 4, 4), np.uint8))
    engine = engine_from(dict(type='openvino', precision='int8', images=str(tmp_path / 'x.npy')))
    assert engine.calibration_images((3, 4, 4)).shape == (2, 3, 4, 4)
    with pytest.raises(ValueError, match=r'\(2, 3, 4, 4\), but the stage sees images of \(N, 3, 8, 8\)'):
        engine.calibration_images((3, 8, 8))


def test_the_number_of_threads_is_torchs_unless_given():
    import torch

    assert engine_from('onnxruntime').number_of_threads == torch.get_num_threads()
    assert engine_from(dict(type='onnxruntime', threads=3)).number_of_threads == 3
