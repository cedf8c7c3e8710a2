# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A bundle that asks for its members elsewhere decides as one that holds them; Ray's handles are stood in for."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from mmcascade.runtime import Bundle, BundleError, Engine, SegmentationBundle
from mmcascade.runtime.description.manifest import Manifest
from mmcascade.serving.batching import Refused
from mmcascade.serving.ray.members import (
    Member,
    MemberGraph,
    MemberResources,
    MembersEngine,
    check_members,
    read_members,
)
from tests.support.bundles import numbered_images, write_bundle, write_segmentation_bundle
from tests.test_runtime import test_exits

RNG = np.random.default_rng(0)
SCORES = [RNG.normal(size=(40, 3)).astype(np.float32) * spread for spread in (2, 3)]


class Handle:
    """A member at hand, asked as by a handle of its deployment; arrays come frozen, as out of Ray's store."""

    def __init__(self, member, folders):
        self.member = Member(member, [str(folder) for folder in folders], Engine(threads=1))
        self.asked = 0
        self.holds = SimpleNamespace(remote=lambda sha256: self._answer(self.member.holds(sha256)))
        self.go_on = SimpleNamespace(remote=self._go_on)

    def _go_on(self, sha256, inputs):
        self.asked += 1
        values, left = self.member.go_on(sha256, inputs)
        for array in (values, *left):
            array.setflags(write=False)
        return self._answer((values, left))

    def _answer(self, value):
        return SimpleNamespace(result=lambda timeout_s=None: value)


def apart(folder, *members):
    pytest.importorskip('ray')
    handles = {member: Handle(member, [folder]) for member in members}
    return MembersEngine(threads=1, handles=handles), handles


@pytest.mark.parametrize('members', [['member0'], ['member1'], ['member0', 'member1']])
def test_decisions_are_those_of_the_bundle(tmp_path, members):
    folder, images = write_bundle(tmp_path, SCORES), numbered_images(40)
    expected = Bundle(folder).decide(images)
    assert {decision.exit_stage for decision in expected} == {0, 1}
    engine, handles = apart(folder, *members)
    for member in members:  # what runs elsewhere is not loaded here
        (folder / f'{member}.onnx').unlink()
    found = Bundle(folder, engine).decide(images)
    assert [(d.to_json(), d.margin, d.stages) for d in found] == [(d.to_json(), d.margin, d.stages) for d in expected]
    assert all(np.array_equal(x.probabilities, y.probabilities) for x, y in zip(found, expected, strict=True))
    assert all(handle.asked == 1 for handle in handles.values())


def test_labels_are_those_of_the_bundle(tmp_path):
    folder, pixels = write_segmentation_bundle(tmp_path), RNG.integers(0, 256, (64, 96, 3)).astype(np.uint8)
    engine, handles = apart(folder, 'member1')
    found, expected = (SegmentationBundle(folder, one).segment(pixels) for one in (engine, Engine(threads=1)))
    assert found.to_json() == expected.to_json() and np.array_equal(found.labels, expected.labels)
    assert handles['member1'].asked == 1


def test_what_an_exit_leaves_behind_goes_along(tmp_path):
    folder = test_exits.write(tmp_path, test_exits.exits_manifest())
    engine, _ = apart(folder, 'member0', 'member1', 'member2')
    found, expected = (Bundle(folder, one).decide(numbered_images(5)) for one in (engine, Engine(threads=1)))
    assert [d.to_json() for d in found] == [d.to_json() for d in expected]
    assert [d.exit_stage for d in found] == [0, 1, 2, 2, 1]


def test_a_member_of_several_bundles_holds_the_graphs_of_all(tmp_path):
    folders = [write_bundle(tmp_path / name, scores) for name, scores in (('a', SCORES), ('b', SCORES[::-1]))]
    member = Member('member0', list(map(str, folders)), Engine(threads=1))
    for folder in folders:
        first, second = Manifest.load(folder).stages
        assert member.holds(first.sha256)
    assert member.holds(second.sha256)  # that of 'b' is the first of 'a'
    assert not Member('member0', [str(folders[0])], Engine(threads=1)).holds(first.sha256)


def test_another_file_elsewhere_is_refused(tmp_path):
    old, new = write_bundle(tmp_path / 'old', SCORES), write_bundle(tmp_path / 'new', SCORES[::-1])
    engine, _ = apart(old, 'member1')
    with pytest.raises(BundleError, match=r"member1.onnx is another file where member 'member1' runs"):
        Bundle(new, engine)


class Dying(Handle):
    """One whose replica dies some times before it answers; or never answers."""

    def __init__(self, folder, error, times):
        super().__init__('member1', [folder])
        self.error, self.times, self.cancelled = error, times, 0

    def _go_on(self, sha256, inputs):
        answer = super()._go_on(sha256, inputs)
        if self.asked > self.times:
            return answer

        def result(timeout_s):
            raise self.error

        return SimpleNamespace(result=result, cancel=lambda: setattr(self, 'cancelled', self.cancelled + 1))


def test_a_replica_that_died_is_asked_again_and_a_silent_one_is_given_up(tmp_path):
    ray_exceptions = pytest.importorskip('ray.exceptions')
    folder = write_bundle(tmp_path, SCORES)
    (expected,) = Bundle(folder).decide(numbered_images(1))
    graph, images = Manifest.load(folder).stages[1], np.stack(numbered_images(3)).transpose(0, 3, 1, 2)
    dying = Dying(folder, ray_exceptions.RayActorError(), 2)
    np.testing.assert_array_equal(MemberGraph('member1', dying, graph, 5.0)(images), SCORES[1][:3])
    assert dying.asked == 3
    with pytest.raises(Refused, match=r"member 'member1' gave no answer within 0.2 seconds") as refused:
        MemberGraph('member1', Dying(folder, ray_exceptions.RayActorError(), 1000), graph, 0.2)(images)
    assert refused.value.status == 503
    silent = Dying(folder, TimeoutError(), 1)
    engine = MembersEngine(threads=1, handles={'member1': silent}, seconds=0.0)
    with pytest.raises(Refused):
        Bundle(folder, engine).decide(numbered_images(40))
    silent = Dying(folder, TimeoutError(), 1)
    MemberGraph('member1', silent, graph, 5.0)(images)
    assert silent.cancelled == 1


def test_words_of_the_command_line():
    assert read_members(['a=1', 'b=0.5:2', 'c=d=0:0.25']) == {
        'a': MemberResources(1.0),
        'b': MemberResources(0.5, 2.0),
        'c=d': MemberResources(0.0, 0.25),
    }
    assert read_members([]) == {}
    for word in ('a', 'a=', 'a=one', 'a=1:', 'a=1:one', 'a=1:1:1', '=1', '=1:1'):
        with pytest.raises(ValueError, match=f'takes NAME=CPUS or NAME=CPUS:GPUS, got {word!r}'):
            read_members([word])
    for word in ('a=-1', 'a=nan', 'a=inf', 'a=1:1.5', 'a=1:-1', 'a=1:nan', 'a=1:inf'):
        with pytest.raises(ValueError, match=f'got {word!r} .*numbers from 0, and GPUs a part'):
            read_members([word])
    with pytest.raises(ValueError, match="names 'a' twice"):
        read_members(['a=1', 'a=2'])


def test_a_name_that_is_no_members(tmp_path):
    manifests = [Manifest.load(write_bundle(tmp_path, SCORES))]
    check_members(['member1'], manifests)
    with pytest.raises(
        ValueError, match=r"no bundle has a member 'membre1'; did you mean 'member1'\? There is 'member0', "
    ):
        check_members(['membre1'], manifests)
    with pytest.raises(ValueError, match="no bundle has a member 'x'; there is 'member0', 'member1'"):
        check_members(['x'], manifests)


def test_a_gpu_is_not_left_idle_in_silence(tmp_path):
    onnxruntime = pytest.importorskip('onnxruntime')
    if 'CUDAExecutionProvider' in onnxruntime.get_available_providers():
        pytest.skip('ONNX Runtime finds a GPU here')
    folder = write_bundle(tmp_path, SCORES)
    engine = Engine(providers=('CUDAExecutionProvider', 'CPUExecutionProvider'))
    with pytest.raises(ImportError, match=r"'member0' is to run on a GPU.* install onnxruntime-gpu"):
        Member('member0', [str(folder)], engine)
