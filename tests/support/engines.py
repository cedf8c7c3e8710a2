# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One cascade in every engine that can run it, on the same images, and which of these lie on a bound."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import mmcv
import numpy as np
import onnxruntime
from starlette.testclient import TestClient

from mmcascade.engine.predict.deciders.open_decider import open_decider
from mmcascade.models.export.one_graph.single_file import bounds_of, single_file
from mmcascade.runtime import Bundle, Decision, Engine
from mmcascade.runtime.decision.policies import Windows
from mmcascade.runtime.preprocessing.images import read_image
from mmcascade.serving.app import create_app
from mmcascade.serving.settings import ServeSettings
from tests.support.members.tiny_models import images

ON_A_BOUND = 1e-4
COUNT = 160


@dataclass(frozen=True)
class Decided:
    """What must be equal in every engine."""

    label: int
    accepted: bool
    exit_stage: int


@dataclass(frozen=True)
class Case:
    """A cascade as a config and as a bundle, images, and what torch decides on them.

    Attributes:
        config: of the cascade.
        bundle: exported from it.
        files: the images.
        torch: decisions of the cascade of the config.
        on_a_bound: images with a score within :data:`ON_A_BOUND` of an end of a window or of the accept threshold, or
            whose two best classes are that near to each other; rounding decides on them.
    """

    config: Path
    bundle: Path
    files: list[Path]
    torch: list[Decided]
    on_a_bound: set[int]

    def check(self, engine: str, found: Sequence[Decided]) -> int:
        """Hold an engine's decisions against torch's; how many differ, all on a bound."""
        assert len(found) == len(self.torch)
        differ = {k for k, pair in enumerate(zip(self.torch, found, strict=True)) if pair[0] != pair[1]}
        wrong = {k: (self.torch[k], found[k]) for k in differ - self.on_a_bound}
        assert not wrong, f'{engine} decides otherwise on images that lie on no bound: {wrong}'
        return len(differ)


def make_case(config: Path, bundle: Path, folder: Path) -> Case:
    """Write images of the tiny project's kind, decide on them in torch, and count those on a bound."""
    folder.mkdir()
    files = []
    for number, image in enumerate(images(COUNT, 48, seed=3)):
        files.append(folder / f'{number:03d}.png')
        mmcv.imwrite(image.permute(1, 2, 0).numpy(), str(files[-1]))
    decisions = [one for one in open_decider(config).decide(files) if isinstance(one, Decision)]
    manifest = Bundle(bundle).manifest
    assert isinstance(manifest.policy, Windows) and manifest.accept is not None
    windows = manifest.policy.windows
    near = {k for k, one in enumerate(decisions) if distance(one, windows, manifest.accept) < ON_A_BOUND}
    return Case(config, bundle, files, plain(decisions), near)


def distance(decision: Decision, windows: Sequence[tuple[float | None, float | None] | None], accept: float) -> float:
    """How far a decision is from being another, by the definition: every score that was compared, and the label."""
    compared = [abs(decision.confidence - accept)]
    for stage, window in zip(decision.stages, windows, strict=False):
        compared += [abs(stage.confidence - end) for end in window or () if end is not None]
    second, first = np.sort(decision.probabilities)[-2:]
    return min(*compared, float(first - second))


def plain(decisions: Iterable[Decision]) -> list[Decided]:
    return [Decided(one.label, bool(one.accepted), one.exit_stage) for one in decisions]


def of_rows(rows: Iterable[dict]) -> list[Decided]:
    """Rows of a table or of an answer."""
    return [Decided(row['label'], row['accepted'], row['exit_stage']) for row in rows]


def by_bundle(engine: str) -> Callable[[Case], list[Decided]]:
    return lambda case: plain(Bundle(case.bundle, Engine(engine, threads=1)).decide(case.files))


def by_single_file(case: Case) -> list[Decided]:
    manifest = Bundle(case.bundle).manifest
    model = single_file(manifest, case.bundle).SerializeToString()
    pixels = [read_image(file) for file in case.files]
    inputs = {f'view{index}': np.stack([view(x) for x in pixels]) for index, view in enumerate(manifest.views)}
    inputs['bounds'] = bounds_of(manifest.policy, len(manifest.stages) - 1)
    session = onnxruntime.InferenceSession(model, providers=['CPUExecutionProvider'])
    probs, confidence, exits = session.run(['probabilities', 'confidence', 'exit_stage'], inputs)
    assert manifest.accept is not None
    accepted = (confidence >= manifest.accept).tolist()
    rows = zip(probs.argmax(1).tolist(), accepted, exits.tolist(), strict=True)
    return [Decided(*row) for row in rows]


def by_server(case: Case) -> list[Decided]:
    """Some images at a time, as several clients send them."""
    settings = ServeSettings(wait_ms=1, max_images=32)
    rows: list[dict] = []
    with TestClient(create_app({'main': case.bundle}, settings, Engine(threads=1))) as client:
        for start in range(0, len(case.files), 16):
            sent = [('images', (file.name, file.read_bytes())) for file in case.files[start : start + 16]]
            rows += client.post('/v1/decide', files=sent).json()['decisions']
    return of_rows(rows)
