# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle from its folder: decisions, samples, and every way in which a folder can be wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from mmcascade.runtime import Bundle, BundleError, Decision, Engine, Failure, ImageError
from mmcascade.runtime.__main__ import main
from tests.support.bundles import numbered_images, write_bundle

ROOT = Path(__file__).parents[2]
SCORES = [
    np.log(np.array([[0.9, 0.05, 0.05], [0.5, 0.3, 0.2], [0.34, 0.33, 0.33], [0.2, 0.2, 0.6]], np.float32)),
    np.log(np.array([[0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.1, 0.8, 0.1], [0.0001, 0.0001, 0.9998]], np.float32)),
]


@pytest.fixture
def folder(tmp_path):
    return write_bundle(tmp_path / 'bundle', SCORES)


@pytest.mark.parametrize('engine', ['onnxruntime', 'openvino'])
def test_decides(folder, engine):
    decisions = Bundle(folder, Engine(engine, threads=1)).decide(numbered_images(4))
    assert [d.exit_stage for d in decisions] == [0, 1, 1, 1]
    assert [d.label for d in decisions] == [0, 1, 1, 2]
    assert [d.class_name for d in decisions] == ['class 0', 'class 1', 'class 1', 'class 2']
    assert [d.macs for d in decisions] == [1, 11, 11, 11]
    np.testing.assert_allclose([d.confidence for d in decisions], [0.9, 0.55, 0.565, 0.7999], atol=1e-6)
    assert [d.accepted for d in decisions] == [True] * 4
    assert json.loads(json.dumps(decisions[1].to_json()))['class_name'] == 'class 1'


def test_accept_and_names_may_be_missing(tmp_path):
    bundle = Bundle(write_bundle(tmp_path, SCORES, accept=None, classes=None))
    decision = bundle.decide(numbered_images(1))[0]
    assert decision.accepted is None and decision.class_name is None


def test_graphs_of_one_batch_size_are_padded(folder):
    data = json.loads((folder / 'cascade.json').read_text())
    for stage in data['stages']:
        stage['batch'] = 3
    (folder / 'cascade.json').write_text(json.dumps(data))
    bundle = Bundle(folder)
    sizes = []
    run = bundle._runs[0]._run
    bundle._runs[0]._run = lambda inputs: sizes.append(len(inputs[0])) or run(inputs)
    assert [d.label for d in bundle.decide(numbered_images(4))] == [0, 1, 1, 2]
    assert sizes == [3, 3]


def test_images_of_several_sizes_keep_their_order(folder):
    images = [np.full((size, 4, 3), index, np.uint8) for index, size in enumerate((5, 9, 5, 9))]
    assert [d.label for d in Bundle(folder).decide(images)] == [0, 1, 1, 2]


def test_a_broken_image_is_named_or_a_row(folder):
    bundle = Bundle(folder)
    images = [numbered_images(1)[0], b'nothing', *numbered_images(2)]
    with pytest.raises(ImageError, match='image 1'):
        bundle.decide(images)
    results = list(bundle.decide_each(iter(images), batch_size=2))
    assert [type(r) for r in results] == [Decision, Failure, Decision, Decision]
    assert [r.label for r in results if isinstance(r, Decision)] == [0, 0, 1]


def test_an_image_of_which_no_view_can_be_made_is_one_failure(folder):
    """A pixel high and thousands wide: resized by its shorter edge it would be huge. The others are decided on."""
    step = {'op': 'resize_edge', 'edge': 'short', 'size': 64, 'library': 'pillow', 'method': 'bilinear'}
    crop = {'op': 'center_crop', 'height': 60, 'width': 60}
    changed(folder, lambda data: data.update(views=[{'channels': 'rgb', 'steps': [step, crop], 'size': [60, 60]}]))
    bundle = Bundle(folder)
    images = [numbered_images(1)[0], np.zeros((1, 4000, 3), np.uint8), *numbered_images(2)]
    results = list(bundle.decide_each(images))
    assert [type(r) for r in results] == [Decision, Failure, Decision, Decision]
    assert 'an image of 1 x 4000 would become 64 x 256000 pixels' in results[1].error
    with pytest.raises(ImageError, match='image 1: an image of 1 x 4000'):
        bundle.decide(images)


def test_no_images(folder):
    assert Bundle(folder).decide([]) == []
    assert list(Bundle(folder).decide_each([])) == []


def write_samples(folder, **changes):
    samples = folder / 'samples'
    samples.mkdir()
    entries = []
    decisions = Bundle(folder).decide(numbered_images(4))
    for index, (image, decision) in enumerate(zip(numbered_images(4), decisions, strict=True)):
        Image.fromarray(image).save(samples / f'{index}.png')
        entries.append({'file': f'{index}.png', **decision.to_json()})
    entries[2].update(changes)
    (samples / 'decisions.json').write_text(json.dumps(entries))


def test_samples_give_what_they_promise(folder):
    write_samples(folder)
    check = Bundle(folder).check()
    assert check.samples == 4 and check.largest_difference < 1e-6


@pytest.mark.parametrize(
    ('changes', 'words'),
    [
        ({'label': 2}, '2.png: label is 1, and 2 was promised'),
        ({'accepted': False}, 'accepted is True'),
        ({'exit_stage': 0}, 'exit_stage is 1'),
        ({'confidence': 0.9}, 'confidence is 0.565'),
        ({'file': '../cascade.json'}, 'names files beside it'),
    ],
)
def test_samples_that_come_out_otherwise(folder, changes, words):
    write_samples(folder, **changes)
    with pytest.raises(BundleError, match=words):
        Bundle(folder).check()


def test_a_bundle_without_samples(folder):
    with pytest.raises(BundleError, match='samples'):
        Bundle(folder).check()


def changed(folder, change):
    data = json.loads((folder / 'cascade.json').read_text())
    change(data)
    (folder / 'cascade.json').write_text(json.dumps(data))
    return folder


@pytest.mark.parametrize(
    ('change', 'words'),
    [
        (lambda d: d.pop('schema'), 'schema is missing'),
        (lambda d: d.update(schema=2), 'schema 2'),
        (lambda d: d.update(schema=True), 'whole number'),
        (lambda d: d.update(task='detection'), 'task is one of'),
        (lambda d: d.update(accept=None, guarantee=dict(threshold=None)), 'could be certified .* accepts nothing'),
        (lambda d: d.update(stages=[]), 'at least one stage'),
        (lambda d: d['stages'][1].update(graph='../member1.onnx'), 'plain name'),
        (lambda d: d['stages'][1].update(graph='/etc/passwd.onnx'), 'plain name'),
        (lambda d: d['stages'][1].update(graph='missing.onnx'), 'cannot be read'),
        (lambda d: d['stages'][1].update(sha256='f' * 64), 'SHA-256'),
        (lambda d: d['stages'][1].update(view=1), r'stages\[1\]: view'),
        (lambda d: d['stages'][1].update(temperature=0), 'from 1e-06'),
        (lambda d: d['stages'][0].update(output='scores'), 'output is one of'),
        (lambda d: d.update(num_classes=4), 'list of 4 entries'),
        (lambda d: d.update(num_classes=4, classes=None), r'promises \(1, 4\)'),
        (lambda d: d.update(policy={'type': 'window', 'windows': []}), 'list of 1 entries'),
        (lambda d: d.update(policy={'type': 'window', 'windows': [[0.8, 0.3]]}), 'low end'),
        (lambda d: d.update(policy={'type': 'window', 'windows': [[0.8]]}), r'\[low, high\]'),
        (lambda d: d.update(policy={'type': 'python', 'code': '1'}), 'type is one of'),
        (lambda d: d.update(accept=10**400), 'a number from'),
        (lambda d: d.update(maps=[{'scores': [1, 0], 'values': [0.1, 0.2]}, None]), 'strictly increasing'),
        (lambda d: d.update(confidence='__import__'), 'confidence is one of'),
        (lambda d: (d.update(confidence='energy'), d['stages'][0].update(output='probabilities')), 'needs logits'),
    ],
)
def test_wrong_fields_are_named(folder, change, words):
    changed(folder, change)
    with pytest.raises(BundleError, match=words):
        Bundle(folder).decide(numbered_images(1))


def test_graphs_out_of_the_folder(folder, tmp_path):
    (tmp_path / 'elsewhere.onnx').write_bytes((folder / 'member0.onnx').read_bytes())
    (folder / 'member0.onnx').unlink()
    (folder / 'member0.onnx').symlink_to(tmp_path / 'elsewhere.onnx')
    with pytest.raises(BundleError, match='link out of the bundle'):
        Bundle(folder)


@pytest.mark.parametrize('content', [b'', b'[', b'[]', b'[' * 100_000, b'\xff', b'NaN'])
def test_no_json(folder, content):
    (folder / 'cascade.json').write_bytes(content)
    with pytest.raises(BundleError, match=r'cascade\.json'):
        Bundle(folder)


def test_no_bundle(tmp_path):
    with pytest.raises(BundleError, match='is no bundle'):
        Bundle(tmp_path / 'nothing')


def test_engines_are_checked():
    with pytest.raises(ValueError, match='engine is one of'):
        Engine('tensorrt')
    with pytest.raises(ValueError, match='precision'):
        Engine(precision='bf16')


def test_runs_without_torch(folder):
    script = f"""
import sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.partition('.')[0] in ('torch', 'mmengine', 'mmcv', 'mmpretrain', 'mmseg', 'scipy', 'sklearn', 'cv2'):
            raise ImportError(name + ' is blocked')
sys.meta_path.insert(0, Blocked())
import numpy as np
from mmcascade.runtime import Bundle
print([d.label for d in Bundle({str(folder)!r}).decide([np.full((4, 5, 3), i, np.uint8) for i in range(4)])])
"""
    done = subprocess.run(
        [sys.executable, '-c', script],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {'PYTHONPATH': str(ROOT)},
    )
    assert done.stdout.strip() == '[0, 1, 1, 2]', done.stderr


def test_command_line(folder, tmp_path, capsys):
    write_samples(folder)
    Image.fromarray(numbered_images(3)[2]).save(tmp_path / 'two.png')
    assert main([str(folder), str(tmp_path / 'two.png'), '--check', '--threads', '1']) == 0
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith('4 samples as promised')
    assert json.loads(second)['class_name'] == 'class 1'
    assert main([str(folder), str(tmp_path / 'three.png')]) == 1
    error = json.loads(capsys.readouterr().out)['error']
    assert error.endswith('three.png cannot be read as an image (No such file or directory)')
    for words, why in (
        ([tmp_path], 'is no bundle'),
        ([folder], 'there is nothing to do: name files of images, or --check'),
        ([folder, '--labels', 'out', tmp_path / 'two.png'], '--labels is for bundles that label pixels'),
    ):
        assert main(list(map(str, words))) == 1
        assert why in capsys.readouterr().err
