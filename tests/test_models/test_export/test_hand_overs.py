# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What other systems are given: a model repository of Triton, a card for the Hugging Face Hub, a container.

Triton itself is not run: a stand-in for its Python module answers what the model asks for.
"""

from __future__ import annotations

import json
import re
import runpy
import shutil
import subprocess
import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import onnxruntime
import pytest
import yaml

from mmcascade.engine.runs.export import add_hub_files
from mmcascade.models.export.triton_repository import check_repository, write_triton
from mmcascade.runtime import Bundle
from tests.support import ROOT
from tests.support.bundles import numbered_images, write_bundle
from tests.support.triton_config import ParseError, read_config
from tests.test_serving.test_app import png

RNG = np.random.default_rng(0)
SCORES = [RNG.normal(size=(40, 3)).astype(np.float32) * 2 for _ in range(2)]


@pytest.fixture(scope='module')
def bundle(tmp_path_factory):
    return Bundle(write_bundle(tmp_path_factory.mktemp('bundle'), SCORES, classes=['ant', 'bee', 'cat']))


class Tensor:
    def __init__(self, name, value):
        self.name, self.value = name, value

    def as_numpy(self):
        return self.value


def stand_in(repository, asked):
    """A module like the one that Triton's Python backend offers, whose models onnxruntime runs."""

    class Request:
        def __init__(self, model_name, requested_output_names, inputs):
            self.name, self.wanted, self.inputs = model_name, requested_output_names, inputs

        def exec(self):
            asked.append((self.name, len(self.inputs[0].value)))
            config = (repository / self.name / 'config.pbtxt').read_text()
            assert int(re.search(r'max_batch_size: (\d+)', config)[1]) >= len(self.inputs[0].value)
            session = onnxruntime.InferenceSession(repository / self.name / '1' / 'model.onnx')
            values = session.run(self.wanted, {self.inputs[0].name: self.inputs[0].value})
            made = [Tensor(*pair) for pair in zip(self.wanted, values, strict=True)]
            return SimpleNamespace(tensors=made, has_error=lambda: False)

    module = ModuleType('triton_python_backend_utils')
    module.Tensor, module.InferenceRequest = Tensor, Request
    module.TritonError = lambda message: message
    module.InferenceResponse = lambda output_tensors=(), error=None: SimpleNamespace(
        tensors={tensor.name: tensor.value for tensor in output_tensors}, error=error
    )
    module.get_input_tensor_by_name = lambda request, name: next(x for x in request if x.name == name)
    module.get_output_tensor_by_name = lambda answer, name: next(x for x in answer.tensors if x.name == name)
    return module


def test_a_repository_of_triton_decides_as_the_bundle(bundle, tmp_path, monkeypatch):
    repository, asked = tmp_path / 'models', []
    *members, cascade = write_triton(bundle, repository)
    monkeypatch.setitem(sys.modules, 'triton_python_backend_utils', stand_in(repository, asked))
    config = (repository / cascade / 'config.pbtxt').read_text()
    outputs = re.findall(r'name: "([A-Z_]+)" data_type', config)
    model = runpy.run_path(str(repository / cascade / '1' / 'model.py'))['TritonPythonModel']()
    model.initialize(
        {
            'model_repository': str(repository / cascade),
            'model_version': '1',
            'model_config': json.dumps({'output': [{'name': name} for name in outputs if name != 'IMAGE']}),
        }
    )
    images = [png(image) for image in numbered_images(40)]
    requests = [images[:1], images[1:30], [images[3], b'broken'], images[30:], []]
    answers = model.execute([[Tensor('IMAGE', np.array(request, np.object_))] for request in requests])
    assert 'cannot be read' in answers[2].error and 'no image' in answers[4].tensors.get('error', 'no image')
    expected = bundle.decide(images)
    found = [answers[k].tensors for k in (0, 1, 3)]
    for name, values in (
        ('LABEL', [d.label for d in expected]),
        ('CLASS_NAME', [d.class_name.encode() for d in expected]),
        ('EXIT_STAGE', [d.exit_stage for d in expected]),
        ('ACCEPTED', [d.accepted for d in expected]),
        ('MACS', [d.macs for d in expected]),
    ):
        assert np.concatenate([part[name] for part in found]).tolist() == values
    np.testing.assert_allclose(np.concatenate([part['CONFIDENCE'] for part in found]), [d.confidence for d in expected])
    # The later member sees those that go on, and nobody else.
    deferred = sum(d.exit_stage > 0 for d in expected)
    assert asked == [(members[0], 40), (members[1], deferred)] and 0 < deferred < 40


def test_protobuf_reads_what_triton_is_told_of_each_model(bundle, tmp_path):
    *members, cascade = write_triton(bundle, tmp_path / 'models')
    for name in members:
        config = read_config((tmp_path / 'models' / name / 'config.pbtxt').read_text())
        session = onnxruntime.InferenceSession(tmp_path / 'models' / name / '1' / 'model.onnx')
        (given,), (made,) = session.get_inputs(), session.get_outputs()
        assert (config.name, config.backend) == (name, 'onnxruntime') and config.max_batch_size > 1
        assert config.dynamic_batching.max_queue_delay_microseconds > 0
        # Of what is open there are no numbers, and Triton leaves the batch out.
        for told, real in ((config.input, given), (config.output, made)):
            (tensor,) = told
            dims = [side if isinstance(side, int) else -1 for side in real.shape[1:]]
            assert (tensor.name, list(tensor.dims)) == (real.name, dims)
    config = read_config((tmp_path / 'models' / cascade / 'config.pbtxt').read_text())
    assert (config.name, config.backend, config.max_batch_size) == (cascade, 'python', 0)
    assert [tensor.name for tensor in config.input] == ['IMAGE'] and len(config.output) == 7
    with pytest.raises(ParseError, match='no field named "outputs"'):
        read_config('outputs [ { name: "LABEL" } ]')


def test_a_repository_is_written_beside_nothing_else(bundle, tmp_path):
    (tmp_path / 'mine').write_text('x')
    with pytest.raises(FileExistsError, match='not empty'):
        write_triton(bundle, tmp_path)


def test_a_cascade_of_segmentors_is_refused_before_it_is_exported(tmp_path):
    with pytest.raises(ValueError, match='this cascade labels pixels; leave out --triton, and serve the bundle with'):
        check_repository('segmentation', tmp_path)


def test_the_card_has_what_the_hub_reads(bundle, tmp_path):
    folder = tmp_path / 'bundle'
    shutil.copytree(bundle.folder, folder)
    (folder / 'README.md').write_text('# insects\n')
    add_hub_files(folder)
    _, head, text = (folder / 'README.md').read_text().split('---\n', 2)
    assert yaml.safe_load(head)['pipeline_tag'] == 'image-classification' and text.strip() == '# insects'
    hub = pytest.importorskip('huggingface_hub')
    assert hub.ModelCard.load(folder / 'README.md').data.library_name == 'mmcascade'
    assert '*.onnx filter=lfs' in (folder / '.gitattributes').read_text()
    Bundle(folder)


def test_the_dockerfile_installs_extras_that_there_are():
    text = (ROOT / 'Dockerfile').read_text()
    (extra,) = re.findall(r'^ARG EXTRAS=(\w+)$', text, re.M)
    assert '"/src[$EXTRAS]"' in text
    assert (ROOT / 'requirements' / f'{extra}.txt').is_file() and 'USER server' in text
    text = text[text.index(' AS build') :]
    entry = json.loads(re.search(r'^ENTRYPOINT (.*)$', text, re.M)[1])
    parser = runpy.run_path(str(ROOT / 'tools' / 'serve.py'))['parser']
    args = parser().parse_args([*entry[2:], *json.loads(re.search(r'^CMD (\[.*)$', text, re.M)[1])])
    assert args.host == '0.0.0.0' and args.bundles == ['/bundle']


def test_the_dockerfile_of_the_demo_makes_what_make_makes():
    text = (ROOT / 'Dockerfile').read_text()
    stage = text[text.index(' AS demo') : text.index(' AS build')]
    targets = re.findall(r'\bmake (CPU=1 [^\s&]+)', text)
    assert targets == ['CPU=1 demo', 'CPU=1 .venv/.ready']
    for target in targets:
        subprocess.run(['make', '-n', *target.split()], cwd=ROOT, check=True, capture_output=True)
    (constraint,) = re.findall(r'PIP_CONSTRAINT=(\S+)', stage)
    assert (ROOT / constraint).is_file() and 'USER reader' in stage
    *_, folder = json.loads(re.search(r'^CMD (\[.*)$', stage, re.M)[1])
    assert list((ROOT / folder).glob('*.ipynb'))
    ignored = (ROOT / '.dockerignore').read_text().split()
    assert not {'docs', 'configs', 'tools', 'requirements', 'mmcascade'} & set(ignored)
