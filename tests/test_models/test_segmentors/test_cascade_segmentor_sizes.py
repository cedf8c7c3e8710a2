# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Images of any size, and of several sizes in one batch."""

from __future__ import annotations

import pytest
import torch

from mmcascade.models.cells import memory
from mmcascade.models.cells.memory import ImageTooLargeError, map_bytes
from tests.support.members.tiny_segmentors import batch, image, sample
from tests.test_models.segmentor_cascades import CLOSED, OPEN, assert_same_facts, cascade, facts, labels, run, window
from tests.test_models.test_segmentors.test_cascade_segmentor_batches import run_loop

SIZES = [(64, 96), (20, 96), (64, 20), (20, 24), (33, 97), (32, 32), (70, 101)]
SOME = window((None, 0.72))


def mixed(sizes=SIZES):
    """One loader batch of images of these sizes; the last one was resized and mirrored by the pipeline."""
    shapes = [*((size, None, None) for size in sizes), ((50, 40), (75, 60), 'horizontal')]
    return dict(
        inputs=[image(*size, seed) for seed, (size, _, _) in enumerate(shapes)],
        data_samples=[sample(*size, ori, flip, sample_idx=i) for i, (size, ori, flip) in enumerate(shapes)],
    )


def singles(data):
    return [dict(inputs=[x], data_samples=[s]) for x, s in zip(*data.values(), strict=True)]


@pytest.mark.parametrize('fusion', ['prob', 'replace'])
@pytest.mark.parametrize('policy', [CLOSED, OPEN, SOME], ids=['nobody', 'everybody', 'some'])
@pytest.mark.parametrize(('size', 'cell'), [((20, 96), (20, 32)), ((64, 20), (32, 20)), ((20, 24), None)])
def test_an_image_below_the_size_of_a_cell_has_one_row_of_them(size, cell, policy, fusion):
    options = dict(policy=policy, fusion=fusion, margin=8 if cell else 0)
    (expected,) = run(cascade('fcn', 'wide', cell=cell, **options), batch(1, *size))
    (found,) = run(cascade('fcn', 'wide', cell=32, **options), batch(1, *size))
    assert_same_facts([facts(found)], [facts(expected)])
    assert found.pred_sem_seg.shape == size


def test_a_small_image_that_nobody_defers_is_labelled_as_mmseg_does():
    for size in SIZES:
        model = cascade('fcn', 'wide', CLOSED, cell=512)
        expected = labels(run(model.members['a'], batch(1, *size)))
        assert torch.equal(labels(run(model, batch(1, *size))), expected)


@pytest.mark.parametrize('cell', [32, (24, 40), 512, None])
@pytest.mark.parametrize('maps', [False, True])
def test_images_of_several_sizes_in_one_batch_change_nothing(cell, maps):
    options = dict(confidence_map=True, seg_logits=True) if maps else {}
    model = cascade('fcn', 'wide', cell=cell, policy=SOME, **options)
    expected = [run(model, single)[0] for single in singles(mixed())]
    found = run(model, mixed())
    assert_same_facts([facts(s) for s in found], [facts(s) for s in expected])
    assert 0 < sum(sum(s.cells.exit_stages.tolist()) for s in found) < sum(len(s.cells) for s in found)
    for one, other in zip(found, expected, strict=True):
        assert one.pred_sem_seg.shape == one.ori_shape
        for name in ('confidence_map', 'seg_logits') if maps else ():
            torch.testing.assert_close(one.get(name).data, other.get(name).data)


@pytest.mark.parametrize('cell', [32, None])
@pytest.mark.parametrize('loader', [dict(batch_size=3), dict(batch_size=8)])
def test_the_deferred_loop_takes_them_too(tmp_path, cell, loader):
    model = cascade('fcn', 'wide', cell=cell, policy=SOME)
    expected = [facts(run(model, single)[0]) for single in singles(mixed())]
    for name, deferred in (('plain', None), ('deferred', {})):
        samples = run_loop(model, loader, deferred, tmp_path / f'{tmp_path.name}-{name}', [mixed()])
        assert_same_facts([facts(s) for s in samples], expected)


def test_tensors_are_stacked_where_they_can_be():
    model = cascade('fcn', 'wide', policy=SOME)
    with torch.no_grad():
        same = model(**batch(2), mode='tensor')
        several = model(**mixed([(64, 96), (20, 24)]), mode='tensor')
    assert same.shape == (2, 64, 96)
    assert [tuple(x.shape) for x in several] == [(64, 96), (20, 24), (75, 60)]


def test_an_image_that_no_memory_holds_is_refused_before_anything_runs(monkeypatch):
    model = cascade('fcn', 'wide')
    monkeypatch.setattr(memory, 'memory_of', lambda device: 2**30)
    monkeypatch.setattr(model.members['a'], 'encode_decode', lambda *args: pytest.fail('ran'))
    huge = torch.empty(3, 1, 1, dtype=torch.uint8).expand(3, 20000, 20000)  # takes no memory itself
    with pytest.raises(
        ImageTooLargeError,
        match=r'an image of 20000 x 20000 pixels takes at least 22.4 GiB for the scores of its 5 classes, and cpu has '
        r'1.0 GiB; cut the image into tiles',
    ):
        run(cascade('fcn', 'wide', cell=512), dict(inputs=[huge], data_samples=[sample(20000, 20000)]))
    # What counts is the original image, to which scores are brought.
    with pytest.raises(ImageTooLargeError, match='20000 x 20000'):
        run(cascade('fcn', 'wide', cell=512), batch(1, 64, 64, ori=(20000, 20000)))


def test_the_memory_of_maps_and_of_a_machine(monkeypatch, tmp_path):
    assert map_bytes((1024, 2048), 19) == 3 * 4 * 19 * 1024 * 2048
    whole = memory.memory_of(torch.device('cpu'))
    assert whole > 2**28
    limit = tmp_path / 'memory.max'
    monkeypatch.setattr(memory, '_LIMIT_OF_GROUP', limit)
    unlimited = memory.memory_of(torch.device('cpu'))
    assert unlimited >= whole
    for text, expected in (('max\n', unlimited), ('1048576\n', 1048576), (f'{2**60}\n', unlimited)):
        limit.write_text(text)
        assert memory.memory_of(torch.device('cpu')) == expected


def test_after_a_size_that_is_refused_others_are_settled_as_before(monkeypatch):
    model = cascade('fixed', stages=[dict(member='a')], policy=window())
    settled = []
    monkeypatch.setattr(model.stages[0].runtime, 'settle', lambda images: settled.append(tuple(images.shape[-2:])))
    run(model, batch(1, 64, 96))
    with pytest.raises(ValueError, match='fails on images of 80 x 96 pixels'):
        run(model, batch(1, 80, 96))
    run(model, batch(1, 64, 96))
    assert settled == [(64, 96), (64, 96)]
