# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Clips as views: members that take them, frames and parts of them as stages, and what they cost."""

from __future__ import annotations

import shlex
from pathlib import Path

import cv2
import mmcv
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmengine.config import Config
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mmcascade import CascadeInferencer, WindowCascadeClassifier
from mmcascade.datasets.transforms.load_frames import LoadFrames
from mmcascade.engine.predict.deciders.loading import pipeline_of
from mmcascade.models.members.members import build_member
from mmcascade.models.members.recipes.recipe import NormalizedNetwork, Recipe
from mmcascade.models.stages.views.clip_frames import Frames, Layout
from mmcascade.models.stages.views.device_view import DeviceView, resize_antialiased
from mmcascade.routing import MacCounter, WindowPolicy
from tests.support.members.tiny_clips import TinyClips, clips, tiny_clips

OPEN = (None, None)


@settings(max_examples=200, deadline=None)
@given(length=st.integers(1, 40), count=st.integers(1, 40), parts=st.integers(1, 5), data=st.data())
def test_frames_are_rising_spread_and_within_their_part(length, count, parts, data):
    number = data.draw(st.integers(0, parts - 1))
    frames = Frames(count, (number, parts))
    first, stop = number * length // parts, (number + 1) * length // parts
    if count > stop - first:
        with pytest.raises(ValueError, match='load more frames'):
            frames.indexes(length)
        return
    found = frames.indexes(length)
    assert len(found) == count and found == sorted(set(found)) and first <= found[0] and found[-1] < stop
    middles = [first + (k + 0.5) * (stop - first) / count for k in range(count)]
    assert all(abs(k + 0.5 - middle) <= 1 for k, middle in zip(found, middles, strict=True))


@torch.no_grad()
def test_a_self_cascade_over_frames_and_over_parts():
    network, batch = tiny_clips(), clips()
    stages = [
        dict(member='net', frames=2),
        dict(member='net', frames=4, part=(0, 2)),
        dict(member='net', frames=4, part=[1, 2]),
        dict(member='net'),
    ]
    model = WindowCascadeClassifier(
        members=dict(net=dict(model=network)), stages=stages, policy=WindowPolicy([OPEN] * 3), fusion='prob'
    )
    outcome = model.router.route([batch])
    seen = [batch[:, [2, 6]], batch[:, [0, 1, 2, 3]], batch[:, [4, 5, 6, 7]], batch]
    expected = sum(network(x).softmax(1) for x in seen) / 4
    torch.testing.assert_close(outcome.probs, expected)
    each = [MacCounter(network)(x) for x in seen]
    assert outcome.macs.tolist() == [sum(each)] * 6 and each[0] < each[1] == each[2] < each[3]
    assert [stage.identity().frames for stage in model.stages] == [
        '2 frames',
        '4 frames of part 0 of 2',
        '4 frames of part 1 of 2',
        None,
    ]
    assert len({stage.source for stage in model.stages}) == 4
    assert model.stages[0].macs_by_shape == {(2, 3, 12, 12): each[0]}


@torch.no_grad()
def test_survivors_of_clips_wait_as_clips():
    network, batch = tiny_clips(), clips(9)
    few = network(batch[:, [2, 6]]).softmax(1).max(1).values.sort().values
    model = WindowCascadeClassifier(
        members=dict(net=dict(model=network)),
        stages=[dict(member='net', frames=2), dict(member='net', batch_size=4)],
        policy=WindowPolicy([(None, float(few[4:6].mean()))]),
    )
    whole = model.router.route([batch])
    with model.router.stream() as stream:
        outcomes = [o for part in batch.split(2) for o in stream.submit([part])] + stream.flush()
    found = {int(u): float(c) for o in outcomes for u, c in zip(o.unit, o.confidence, strict=True)}
    assert 0 < (whole.exit_stage == 1).sum() < 9
    assert [found[k] for k in range(9)] == pytest.approx(whole.confidence.tolist(), abs=1e-5)


def test_views_on_the_device_take_every_frame_by_itself():
    batch = clips(2, 3, 20)
    resized = resize_antialiased(batch, (10, 14))
    for n in range(2):
        torch.testing.assert_close(resized[n], resize_antialiased(batch[n], (10, 14)), rtol=0, atol=0)
    view = DeviceView(resize=10, flip=True, frames=Frames(2))
    assert view.shape((3, 3, 20, 20)) == (2, 3, 10, 10)
    made = view(batch, batch.device)
    torch.testing.assert_close(made, resize_antialiased(batch[:, [0, 2]], (10, 10)).flip(-1), rtol=0, atol=0)


@torch.no_grad()
@pytest.mark.parametrize('takes', ['NCTHW', 'NTCHW', None])
def test_clips_with_channels_first_are_the_same_clips(takes):
    """Whatever order the view has, and the member takes; three frames of three channels tell the two apart."""

    class TimeFirst(TinyClips):
        def forward(self, clips):
            return super().forward(clips.transpose(1, 2))

    class AsItIs(TinyClips):  # says nothing of clips, so it gets the order of the view
        def forward(self, clips):
            return super().forward(clips.float())

    def route(net, view, **layout):
        stages = [dict(member='net', frames=2, resize=10, flip=True, **layout), dict(member='net', **layout)]
        model = WindowCascadeClassifier(
            members=dict(net=dict(model=net)), stages=stages, policy=WindowPolicy([OPEN]), fusion='prob'
        )
        return model.router.route([view])

    batch = clips(5, 3)
    channels_first = batch.transpose(1, 2).contiguous()
    if takes is None:
        seen = DeviceView(10, True, frames=Frames(2))(batch, batch.device)
        expected = sum(AsItIs()(x.transpose(1, 2)).softmax(1) for x in (seen, batch)) / 2
        torch.testing.assert_close(route(AsItIs(), channels_first, layout='NCTHW').probs, expected)
        return
    recipe = Recipe((), (110.0, 90.0, 70.0), (60.0,) * 3, clip=takes)
    network = NormalizedNetwork(TinyClips() if takes == 'NCTHW' else TimeFirst(), recipe, 4).eval()
    expected, ours = route(network, batch), route(network, channels_first, layout='NCTHW')
    torch.testing.assert_close(ours.probs, expected.probs)
    assert ours.macs.tolist() == expected.macs.tolist()
    assert not torch.allclose(route(network, channels_first).probs, expected.probs)


def test_images_for_a_network_of_clips_and_the_other_way_round_are_refused():
    image = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    with pytest.raises(ValueError, match=r'takes clips \(N, T, C, H, W\), got a tensor of shape'):
        tiny_clips()(image)
    with pytest.raises(ValueError, match=r'takes images \(N, C, H, W\)'):
        NormalizedNetwork(nn.Flatten(), Recipe(()))(clips())
    with pytest.raises(ValueError, match='frames= is for clips'):
        Frames(2)(image)
    with pytest.raises(ValueError, match='layout= is for clips'):
        Layout('NCTHW')(image)
    for wrong in (dict(frames=0), dict(part=(3, 3)), dict(part=2), dict(frames=1.5), dict(layout='NHWC')):
        with pytest.raises(ValueError, match=f'{next(iter(wrong))} of stage 0 is'):
            WindowCascadeClassifier(members=dict(net=dict(model=tiny_clips())), stages=[dict(member='net', **wrong)])


VIDEO = {
    'r3d_18': (8, 64),
    'mc3_18': (8, 64),
    'r2plus1d_18': (8, 64),
    's3d': (16, 224),
    'mvit_v2_s': (16, 224),
}


@pytest.mark.slow
@torch.no_grad()
@pytest.mark.parametrize('name', VIDEO)
def test_networks_of_torchvision_take_clips_and_are_counted(name):
    pytest.importorskip('torchvision')
    found = build_member('net', f'torchvision/{name}')
    assert not found.loaded and found.recipe.clip == 'NCTHW' and found.num_classes == 400
    frames, size = VIDEO[name]
    batch = clips(1, frames, size)
    with FlopCounterMode(display=False) as counter:
        logits = found.module(batch)
    assert logits.shape == (1, 400)
    assert MacCounter(found.module)(batch) * 2 == counter.get_total_flops()


@torch.no_grad()
@pytest.mark.parametrize('kind', ['VideoMAE', 'Timesformer'])
def test_networks_of_hugging_face_take_clips(kind, tmp_path):
    transformers = pytest.importorskip('transformers')
    config = getattr(transformers, f'{kind}Config')(
        image_size=32,
        patch_size=16,
        num_frames=4,
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        num_labels=5,
    )
    network = getattr(transformers, f'{kind}ForVideoClassification')(config).eval()
    network.save_pretrained(tmp_path)
    processor = transformers.VideoMAEImageProcessor(size=dict(shortest_edge=32), crop_size=dict(height=32, width=32))
    processor.save_pretrained(tmp_path)
    found = build_member('net', str(tmp_path))
    assert found.recipe.clip == 'NTCHW' and found.num_classes == 5 and found.loaded
    batch = clips(2, 4, 32)
    mean, std = (torch.tensor(values).view(-1, 1, 1) * 255 for values in (processor.image_mean, processor.image_std))
    expected = network((batch.float() - mean) / std).logits
    torch.testing.assert_close(found.module(batch), expected, rtol=1e-4, atol=1e-5)
    # Attention written out: the fused kernel of processors is none that the counter knows.
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counter:
        found.module(batch)
    assert MacCounter(found.module)(batch) * 4 == counter.get_total_flops()  # per clip, and there are two


def test_frames_are_loaded_from_folders_and_arrays(tmp_path):
    clip = clips(1, 9, 20)[0].permute(0, 2, 3, 1).numpy()
    folder = tmp_path / 'clip'
    folder.mkdir()
    for number, frame in enumerate(clip):
        mmcv.imwrite(frame[..., ::-1], str(folder / f'{number:04d}.png'))
    (folder / 'notes.txt').write_text('no frame')
    np.save(tmp_path / 'clip.npy', clip)
    for path in (folder, tmp_path / 'clip.npy'):
        loaded = LoadFrames(3)(dict(img_path=str(path)))
        np.testing.assert_array_equal(loaded['img'], clip[[1, 4, 7]].transpose(0, 3, 1, 2))
        assert loaded['img_shape'] == (20, 20)
    assert LoadFrames(18)(dict(img_path=str(folder)))['img'].shape == (18, 3, 20, 20)
    small = LoadFrames(2, scale=(10, 16), crop=8)(dict(img_path=str(folder)))
    assert small['img'].shape == (2, 3, 8, 8)
    bgr = LoadFrames(3, to_rgb=False)(dict(img_path=str(folder)))['img']
    np.testing.assert_array_equal(bgr[:, ::-1], clip[[1, 4, 7]].transpose(0, 3, 1, 2))
    from mmpretrain.datasets.transforms import PackInputs

    packed = PackInputs()(loaded)
    assert packed['inputs'].shape == (3, 3, 20, 20) and packed['inputs'].dtype == torch.uint8
    np.save(tmp_path / 'image.npy', clip[0])
    (tmp_path / 'empty').mkdir()
    for wrong, error, message in (
        (tmp_path / 'image.npy', ValueError, 'a clip is uint8'),
        (tmp_path / 'empty', ValueError, 'no folder with frames'),
        (tmp_path / 'clips', FileNotFoundError, r"no folder of frames and no \.npy file .*close is '.*clip"),
    ):
        with pytest.raises(error, match=message):
            LoadFrames(3)(dict(img_path=str(wrong)))
    with pytest.raises(ValueError, match='does not fit'):
        LoadFrames(3, crop=30)(dict(img_path=str(folder)))
    with pytest.raises(ValueError, match='num_frames is'):
        LoadFrames(0)
    (folder / '0004.png').write_bytes(b'cut off')
    with pytest.raises(ValueError, match=r"frame '.*0004\.png' cannot be read"):
        LoadFrames(3)(dict(img_path=str(folder)))


@pytest.mark.parametrize('name', ['a video.mp4', 'clip.AVI', 'clip.webm'])
def test_files_of_videos_are_refused_with_the_command_that_makes_frames(name, tmp_path):
    video = tmp_path / name
    writer = cv2.VideoWriter(str(video.with_suffix('.mp4')), cv2.VideoWriter_fourcc(*'mp4v'), 10, (16, 16))
    for grey in (50, 100, 150, 200):
        writer.write(np.full((16, 16, 3), grey, np.uint8))
    writer.release()
    video.with_suffix('.mp4').rename(video)
    with pytest.raises(ValueError, match='is a file of a video, and these are not decoded') as raised:
        LoadFrames(2)(dict(img_path=str(video)))
    command = str(raised.value).splitlines()[1].strip()
    folder = video.with_suffix('')
    assert shlex.split(command) == [
        *('mkdir', '-p', str(folder), '&&', 'ffmpeg', '-i', str(video), '-q:v', '2', str(folder / '%06d.jpg'))
    ]
    # With mmcv in the place of ffmpeg, as the page has it.
    mmcv.VideoReader(str(video)).cvt2frames(str(folder), show_progress=False)
    clip = LoadFrames(2)(dict(img_path=str(folder)))['img']
    assert clip.shape == (2, 3, 16, 16) and abs(int(clip[0].mean()) - 100) < 6 and abs(int(clip[1].mean()) - 200) < 6


def test_commands_that_take_images_refuse_clips(tmp_path):
    multi = dict(type='MultiView', num_views=1, transforms=[[dict(type='mmcascade.LoadFrames', num_frames=2)]])
    cfg = Config(dict(test_dataloader=dict(dataset=dict(pipeline=[multi, dict(type='PackInputs')]))))
    with pytest.raises(ValueError, match=r'cascade of clips\.py decides on clips .*mmcascade test CONFIG'):
        pipeline_of(cfg, Path('clips.py'))
    cascade = WindowCascadeClassifier(
        members=dict(net=dict(model=tiny_clips())), stages=[dict(member='net')], policy=WindowPolicy([])
    )
    with pytest.raises(ValueError, match='decides on clips'):
        CascadeInferencer(cascade, device='cpu', pipeline=[dict(type='mmcascade.LoadFrames', num_frames=2)])
