# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Mutated bundles of both tasks: each is refused in one clear error, or decides something that can be true.

``MMCASCADE_FUZZ=500 pytest tests/fuzz`` tries so many of them instead of a few. Seeds are fixed, so a failure is found
again by its number.
"""

from __future__ import annotations

import copy
import hashlib
import json
import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mmcascade.runtime import Bundle, BundleError, ImageError, SegmentationBundle, open_bundle
from tests.support.bundles import numbered_images, write_bundle, write_segmentation_bundle

MUTATIONS = int(os.environ.get('MMCASCADE_FUZZ', '60'))
PARTS = 10
ODD = [None, True, False, -1, 0, 1, 2, 3.5, 1e-300, 1e308, -1e30, 10**400, float('nan'), float('inf'), '', 'x',
    '\ud800', 'x' * 3000, '../a.onnx', [], [[]],
    [1, 2], [None, None], [0.5] * 200, {}, {'type': 'window'}, {'a': 1}]  # fmt: skip
STEPS = [
    {'op': 'resize', 'height': 64, 'width': 96, 'library': 'pillow', 'method': 'bilinear'},
    {'op': 'resize_within', 'long': 96, 'short': 64, 'library': 'opencv', 'method': 'nearest'},
]
MAPS = [{'scores': [0.2, 0.5, 0.9], 'values': [0.1, 0.5, 0.95]}, None]
EXPECTED = {'units': 100, 'reached': [0.4], 'accepted': 0.7}
TOLD = {'maps': MAPS, 'expected': EXPECTED, 'guarantee': {'risk': 0.1}}
PICTURES = numbered_images(4, (64, 96))


def classifier(folder: Path) -> Path:
    scores = [np.random.default_rng(seed).normal(size=(40, 3)).astype(np.float32) * 2 for seed in (0, 1)]
    crop = {'op': 'center_crop', 'height': 60, 'width': 90, 'fill': [1, 2, 3]}
    view = {'channels': 'rgb', 'steps': [*STEPS, crop, {'op': 'flip', 'direction': 'vertical'}], 'size': [60, 90]}
    return write_bundle(folder, scores, views=[view], **TOLD)


def segmentor(folder: Path) -> Path:
    return write_segmentation_bundle(folder, views=[{'channels': 'rgb', 'steps': STEPS}], **TOLD)


WRITE: dict[str, Callable[[Path], Path]] = {'classification': classifier, 'segmentation': segmentor}


def add_samples(folder: Path) -> None:
    """Pictures with what the bundle says of them now, as an export writes them."""
    bundle, entries = open_bundle(folder), []
    (folder / 'samples').mkdir()
    for number, pixels in enumerate(PICTURES):
        Image.fromarray(pixels).save(folder / 'samples' / f'{number}.png')
        if isinstance(bundle, Bundle):
            told = bundle.decide([pixels])[0].to_json()
        else:
            found = bundle.segment(pixels)
            told = found.to_json()
            told['class_shares'] = (np.bincount(found.labels.ravel(), minlength=3) / found.labels.size).tolist()
        entries.append({'file': f'{number}.png', **told})
    (folder / 'samples' / 'decisions.json').write_text(json.dumps(entries))


@pytest.fixture(scope='module', params=WRITE)
def original(request, tmp_path_factory) -> Path:
    folder = WRITE[request.param](tmp_path_factory.mktemp('original') / request.param)
    add_samples(folder)
    return folder


@pytest.fixture
def folder(original, tmp_path) -> Path:
    """A copy to spoil."""
    for path in original.rglob('*'):
        place = tmp_path / path.relative_to(original)
        place.mkdir(parents=True) if path.is_dir() else place.write_bytes(path.read_bytes())
    return tmp_path


def places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every entry."""
    keys = list(data) if isinstance(data, dict) else range(len(data)) if isinstance(data, list) else []
    return [found for key in keys for found in [(*path, key), *places(data[key], (*path, key))]]


def mutated(text: str, number: int) -> str:
    """The text of a JSON file with one change, or two."""
    chance, data = random.Random(number), json.loads(text)
    for _ in range(chance.choice([1, 1, 2])):
        inside, path = data, chance.choice(places(data) or [()])
        if not path:
            break
        for key in path[:-1]:
            inside = inside[key]
        kind, key = chance.randrange(5), path[-1]
        value = inside[key]
        if kind == 0:
            del inside[key]
        elif kind == 1 and isinstance(inside, dict):
            inside[f'{key}x'] = inside.pop(key)
        elif kind == 2 and isinstance(value, (int, float)) and not isinstance(value, bool):
            inside[key] = chance.choice([-value, value + 1, value * 1000, value / 1000, str(value)])
        elif kind == 3:
            other = data
            for step in chance.choice(places(data)):
                other = other[step]
            inside[key] = copy.deepcopy(other)
        else:
            inside[key] = chance.choice(ODD)
    text = json.dumps(data)
    at = chance.randrange(len(text))
    return text[:at] + chance.choice(['', '{', '}', '"', '0', '\ufeff']) + text[at + 1 :] if number % 7 == 0 else text


def can_be(folder: Path) -> None:
    """Decide by a bundle that was accepted; what it says can be true, and a server could tell it."""
    bundle = open_bundle(folder)
    json.dumps(bundle.manifest.guarantee).encode()
    if isinstance(bundle, SegmentationBundle):
        for found in bundle.segment_each(PICTURES):
            if not isinstance(found, ImageError):
                assert found.labels.shape == PICTURES[0].shape[:2] and found.labels.max() < 3
                assert all(0 <= cell.exit_stage < 2 and cell.macs >= 0 for cell in found.cells)
                json.dumps(found.to_json(), allow_nan=False, ensure_ascii=False).encode()
        return
    for decision in bundle.decide(PICTURES):
        assert 0 <= decision.label < 3 and 0 <= decision.exit_stage < 2 and decision.macs >= 0
        assert np.isclose(decision.probabilities.sum(), 1, atol=1e-4)
        json.dumps(decision.to_json(), allow_nan=False, ensure_ascii=False).encode()


def refused(number: int, call: Callable[[], object]) -> bool:
    """Whether a mutation was, by an error that says why; any other error fails the test."""
    try:
        call()
    except (BundleError, ImageError) as error:
        assert 10 < len(str(error)) < 3000, number
        return True
    except Exception as error:
        raise AssertionError(f'mutation {number} ends in {type(error).__name__}: {error}') from error
    return False


@pytest.mark.parametrize('part', range(PARTS))
def test_every_description_is_refused_or_makes_sense(folder, part):
    text, count = (folder / 'cascade.json').read_text(), 0
    for number in range(part, MUTATIONS, PARTS):
        (folder / 'cascade.json').write_text(mutated(text, number))
        count += refused(number, lambda: can_be(folder))
    assert count


@pytest.mark.parametrize('part', range(PARTS))
def test_samples_that_promise_otherwise_are_refused(folder, part):
    file = folder / 'samples' / 'decisions.json'
    text = file.read_text()
    for number in range(part, MUTATIONS, PARTS):
        file.write_text(mutated(text, number))
        refused(number, open_bundle(folder).check)


@pytest.mark.parametrize('told', [False, True], ids=['by a stranger', 'with its hash'])
def test_a_damaged_graph_is_refused_or_makes_sense(folder, told):
    """A hash in the same folder keeps damage out, not whoever may write there."""
    (graph, *_), text = sorted(folder.glob('*.onnx')), (folder / 'cascade.json').read_text()
    whole = graph.read_bytes()
    for number in range(MUTATIONS):
        chance, damaged = random.Random(number), bytearray(whole)
        for _ in range(chance.randrange(1, 6)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        graph.write_bytes(damaged[: chance.randrange(len(damaged))] if number % 5 == 0 else damaged)
        if told:
            hashes = [hashlib.sha256(content).hexdigest() for content in (whole, graph.read_bytes())]
            (folder / 'cascade.json').write_text(text.replace(*hashes))
        out = refused(number, lambda: can_be(folder))
        assert out or told or graph.read_bytes() == whole, number
