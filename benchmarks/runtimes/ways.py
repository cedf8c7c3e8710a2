# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Ways to run images through two members: ours, and what a user would pick instead."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmpretrain.models import AverageClsScoreTTA
from mmpretrain.structures import DataSample
from skfb.ensemble import ThresholdCascadeClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from torch import Tensor, nn

from mmcascade.engine.benchmark.systems import Images, TimedSystem, with_batch_size
from mmcascade.models.cascade_classifier import WindowCascadeClassifier
from mmcascade.models.members.members import num_classes
from mmcascade.models.runtimes.engines import engine_from
from mmcascade.models.runtimes.graphs.export import export_onnx
from mmcascade.models.runtimes.graphs.graph_cache import GraphCache
from mmcascade.models.runtimes.graphs.subject import Subject
from mmcascade.models.runtimes.networks.classifier_network import ClassifierNetwork

#: Labels ``(N)`` and, for a cascade, exit stages ``(N)``.
Decisions = tuple[np.ndarray, np.ndarray | None]

#: A batch size for each stage; a single one where all of them share it.
Sizes = tuple[int, ...]


@dataclass(frozen=True)
class Way:
    """A way to run images through the members.

    Attributes:
        run: from images and batch sizes to decisions.
        start: the batch sizes that tuning begins with.
    """

    run: Callable[[Images, Sizes], Decisions]
    start: Sizes


class SessionModule(nn.Module):
    """A member in another runtime as anybody would run it there: the session of its graph, and nothing around it."""

    def __init__(self, module: nn.Module, image: Tensor, runtime: str) -> None:
        super().__init__()
        engine = engine_from(runtime)
        assert engine is not None
        subject = Subject('member', ClassifierNetwork(module), tuple(image.shape), image.dtype)
        cache, key = GraphCache(), subject.key(None)
        with cache.lock(key):
            path = cache.get(key, lambda: export_onnx(subject.network, subject.shape, subject.dtype))
        self.session = engine.open(path, None)
        self.classes = num_classes(module)

    def forward(self, images: Tensor) -> Tensor:
        return torch.from_numpy(self.session(images.numpy()))


@dataclass(frozen=True)
class Member:
    """A member as anybody would run it: raw images in, probabilities out, in batches."""

    module: nn.Module
    size: int

    def probs(self, images: Tensor) -> Tensor:
        return torch.cat([self.at_once(batch) for batch in images.split(self.size)])

    def at_once(self, images: Tensor) -> Tensor:
        if isinstance(self.module, SessionModule):
            return self.module(images).softmax(1)
        preprocessor: Any = self.module.data_preprocessor  # of a library without types
        return self.module(preprocessor(dict(inputs=images))['inputs']).softmax(1)


class Estimator(ClassifierMixin, BaseEstimator):
    """A member as scikit-fallback wants it; the samples are row numbers of a view."""

    def __init__(self, member: Member, view: Tensor) -> None:
        self.member = member
        self.view = view
        module = member.module
        classes = module.classes if isinstance(module, SessionModule) else num_classes(module)
        assert classes is not None
        self.classes_ = np.arange(classes)

    def fit(self, X: Any, y: Any) -> Estimator:
        return self

    def predict_proba(self, X: np.ndarray) -> np.ndarray:
        return self.member.probs(self.view[torch.as_tensor(X[:, 0])]).numpy()


def single(module: nn.Module, view: int, images: Images, sizes: Sizes) -> Decisions:
    return Member(module, sizes[0]).probs(images.stacked(view)).argmax(1).numpy(), None


def ensemble(modules: Sequence[nn.Module], images: Images, sizes: Sizes) -> Decisions:
    members = [Member(module, size) for module, size in zip(modules, sizes, strict=True)]
    probs = [member.probs(images.stacked(view)) for view, member in enumerate(members)]
    return torch.stack(probs).sum(0).argmax(1).numpy(), None


def fallback(
    modules: Sequence[nn.Module], threshold: float, batch: int | None, images: Images, sizes: Sizes
) -> Decisions:
    """scikit-fallback, per loader batch or (None) all images in one call."""
    estimators = [
        Estimator(Member(*pair), images.stacked(view)) for view, pair in enumerate(zip(modules, sizes, strict=True))
    ]
    cascade = ThresholdCascadeClassifier(estimators, [threshold], prefit=True)
    step = batch or len(images)
    predicted = [
        cascade.predict(np.arange(start, min(start + step, len(images)))[:, None])
        for start in range(0, len(images), step)
    ]
    return (
        np.concatenate([np.asarray(p) for p in predicted]),
        np.concatenate([p.ensemble_mask.toarray().argmax(1) for p in predicted]),
    )


def filter_each_batch(modules: Sequence[nn.Module], threshold: float, images: Images, sizes: Sizes) -> Decisions:
    """The rest of every batch goes on by itself, as in the timing of Xia & Bouganis 2023."""
    first, second = (Member(module, sizes[0]) for module in modules)
    labels, exits = [], []
    for one, other in zip(*(images.stacked(view).split(sizes[0]) for view in range(2)), strict=True):
        score, label = first.at_once(one).max(1)
        rest = score <= threshold
        if rest.any():
            label[rest] = second.at_once(other[rest]).argmax(1)
        labels.append(label)
        exits.append(rest.long())
    return torch.cat(labels).numpy(), torch.cat(exits).numpy()


def two_passes(modules: Sequence[nn.Module], threshold: float, images: Images, sizes: Sizes) -> Decisions:
    """All images through the first member, and then, from the start, the uncertain ones through the second."""
    first, second = (Member(*pair) for pair in zip(modules, sizes, strict=True))
    score, label = first.probs(images.stacked(0)).max(1)
    rest = score <= threshold
    if rest.any():
        label[rest] = second.probs(images.stacked(1)[rest]).argmax(1)
    return label.numpy(), rest.long().numpy()


def augmentation(model: AverageClsScoreTTA, images: Images, sizes: Sizes) -> Decisions:
    """MMPretrain's test-time augmentation: every view of every image."""
    labels = []
    for rows in zip(*(images.stacked(k).split(sizes[0]) for k in range(len(images.views))), strict=True):
        samples = [[DataSample() for _ in range(len(rows[0]))] for _ in rows]
        labels += [int(s.pred_label) for s in model.test_step(dict(inputs=list(rows), data_samples=samples))]
    return np.array(labels), None


def ours(model: WindowCascadeClassifier, deferred: bool, batch: int, images: Images, sizes: Sizes) -> Decisions:
    stages = [with_batch_size(stage, size) for stage, size in zip(model.stages, sizes, strict=True)]
    system = TimedSystem.of(model, stages, model.ready().policy, deferred)
    outcome = system.run(images.batches(batch))
    return np.array([int(sample.pred_label) for sample in images.samples]), outcome.exit_stage
