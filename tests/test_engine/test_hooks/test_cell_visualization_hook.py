# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

from types import SimpleNamespace

import mmcv
import numpy as np
import pytest
import torch
from mmengine.structures import InstanceData, PixelData

from mmcascade.engine.hooks import CellVisualizationHook
from mmcascade.engine.hooks.cell_visualization_hook import as_original, picture_title
from mmcascade.engine.loops.deferred_test_loop import needs_inputs
from mmcascade.visualization import cell_plot
from mmcascade.visualization.cell_plot import STAGE_COLOURS, as_image, plot_cells

SegDataSample = pytest.importorskip('mmseg.structures').SegDataSample
HEIGHT, WIDTH = 40, 60
CLASSES, PALETTE = ('sky', 'road', 'car'), ((70, 130, 180), (128, 64, 128), (0, 0, 142))
CELLS = dict(
    bboxes=np.array([[0, 0, 30, 40], [30, 0, 60, 40]]), confidence=np.array([0.93, 0.41]), exit_stages=np.array([0, 1])
)


def maps():
    prediction = np.zeros((HEIGHT, WIDTH), np.int64)
    prediction[20:] = 1
    label = prediction.copy()
    label[:, :20] = 255
    return np.full((HEIGHT, WIDTH, 3), 200, np.uint8), label, prediction


def sample(label=True, **meta):
    _, truth, prediction = maps()
    made = SegDataSample(metainfo=dict(ori_shape=(HEIGHT, WIDTH), num_stages=2, **meta))
    made.pred_sem_seg = PixelData(data=torch.from_numpy(prediction)[None])
    if label:
        made.gt_sem_seg = PixelData(data=torch.from_numpy(truth)[None])
    made.cells = InstanceData(**{key: torch.from_numpy(value) for key, value in CELLS.items()})
    for name, value in dict(macs=63.21e9, mean_exit_stage=0.5, reached=[1.0, 0.5]).items():
        made.set_field(value, name)
    return made


def colour_at(figure, axis, x, y):
    """The colour that a picture has at a pixel of the image."""
    picture = as_image(figure)
    column, row = axis.transData.transform((x, y))
    return picture[round(picture.shape[0] - row), round(column)]


def test_panels_show_labels_prediction_and_cells():
    image, label, prediction = maps()
    figure = plot_cells(image, label, prediction, CELLS, CLASSES, PALETTE, 'some title', num_stages=3)
    photo, truth, guess, cells = figure.axes
    assert [axis.get_title() for axis in figure.axes] == ['image', 'labels', 'prediction', '']
    assert tuple(colour_at(figure, photo, 30, 20)) == (200, 200, 200)
    assert tuple(colour_at(figure, truth, 10, 10)) == (0, 0, 0)
    assert tuple(colour_at(figure, truth, 40, 10)) == PALETTE[0]
    assert tuple(colour_at(figure, guess, 10, 30)) == PALETTE[1]
    assert [text.get_text() for text in cells.texts] == ['0.93', '0.41']
    stages = [text.get_text() for text in cells.get_legend().get_texts()]
    assert stages == [f'left after stage {k}' for k in range(3)]
    for x, stage in ((5, 0), (55, 1)):
        tint = 255 * np.array([int(STAGE_COLOURS[stage][k : k + 2], 16) / 255 for k in (1, 3, 5)])
        assert np.abs(colour_at(figure, cells, x, 10) - (0.65 * 200 + 0.35 * tint)).max() <= 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['sky', 'road']
    assert figure.get_suptitle() == 'some title'


def test_without_labels_palette_and_names():
    image, _, prediction = maps()
    figure = plot_cells(image, None, prediction, CELLS)
    assert [axis.get_title() for axis in figure.axes] == ['image', 'prediction', '', '']
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ['0', '1']
    assert len(figure.axes[2].patches) == 2
    assert not figure.axes[3].axison


def test_confidence_of_nothing_and_cells_too_small_for_text():
    image, label, prediction = maps()
    cells = dict(CELLS, confidence=np.array([np.nan, -np.inf]))
    assert [text.get_text() for text in plot_cells(image, label, prediction, cells).axes[3].texts] == ['-', '-inf']
    starts = np.arange(WIDTH)
    narrow = dict(
        bboxes=np.stack([starts, 0 * starts, starts + 1, 0 * starts + HEIGHT], 1),
        confidence=np.full(WIDTH, 0.5),
        exit_stages=np.zeros(WIDTH, int),
    )
    axis = plot_cells(image, label, prediction, narrow).axes[3]
    assert len(axis.patches) == WIDTH and not axis.texts


def test_large_images_are_shrunk_and_small_ones_are_not():
    assert cell_plot._shrunk(np.zeros((1024, 2048, 3), np.uint8), 3).shape == (385, 770, 3)
    assert cell_plot._shrunk(np.zeros((10, 20), np.int32), 0).shape == (10, 20)


def test_maps_of_another_size_are_refused():
    image, label, prediction = maps()
    with pytest.raises(ValueError, match=r'label is \(39, 60\) and the image \(40, 60\)'):
        plot_cells(image, label[1:], prediction, CELLS)


def test_title_sums_up():
    assert picture_title(sample()) == '63.21 GMACs, mean exit stage 0.50, 50 % of the area reached stage 1'
    for accepted, word in ((True, 'accepted'), (False, 'rejected')):
        decided = sample()
        decided.set_field(accepted, 'accepted')
        assert picture_title(decided).startswith(f'{word}, 63.21 GMACs')


@pytest.mark.parametrize('flip', [None, 'horizontal', 'vertical'])
def test_image_of_the_pipeline_is_brought_back_to_the_original(flip):
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    seen = image if flip is None else np.flip(image, 1 if flip == 'horizontal' else 0)
    meta = dict(ori_shape=(4, 6), flip=flip is not None, flip_direction=flip)
    assert (as_original(seen, SegDataSample(metainfo=meta)) == image).all()
    larger = as_original(seen, SegDataSample(metainfo=dict(meta, ori_shape=(8, 12))))
    assert larger.shape == (8, 12, 3)
    # From a file it comes as it is, whatever the pipeline did later.
    assert (as_original(image, SegDataSample(metainfo=dict(meta, img_path='a.png'))) == image).all()


@pytest.mark.parametrize('on_disk', [True, False])
def test_every_interval_is_drawn(tmp_path, monkeypatch, on_disk):
    image = np.full((HEIGHT, WIDTH, 3), (10, 60, 200), np.uint8)
    mmcv.imwrite(image, str(tmp_path / 'a.png'))
    drawn = []
    monkeypatch.setattr(
        'mmcascade.engine.hooks.cell_visualization_hook.plot_cells',
        lambda *args: drawn.append(args) or plot_cells(*args),
    )
    runner = SimpleNamespace(
        test_dataloader=SimpleNamespace(batch_size=2),
        visualizer=SimpleNamespace(dataset_meta=dict(classes=CLASSES, palette=PALETTE)),
    )
    hook = CellVisualizationHook(draw=True, interval=3, out_dir=str(tmp_path / 'out'))
    samples = [sample(**(dict(img_path=str(tmp_path / 'a.png')) if on_disk else {})) for _ in range(2)]
    inputs = [torch.from_numpy(image).permute(2, 0, 1)] * 2
    for batch in range(2):
        hook.after_test_iter(runner, batch, {} if on_disk else dict(inputs=inputs), samples)
    names = ['000000_a.png', '000003_a.png'] if on_disk else ['000000.png', '000003.png']
    assert sorted(path.name for path in (tmp_path / 'out').iterdir()) == names
    shown, label, prediction, cells, classes, palette, title, stages = drawn[0]
    assert (shown == image[..., ::-1]).all()  # RGB
    assert (label == maps()[1]).all() and (prediction == maps()[2]).all()
    assert (classes, palette, stages) == (CLASSES, PALETTE, 2)
    picture = mmcv.imread(str(tmp_path / 'out' / names[0]))
    assert (np.abs(picture.astype(int) - (10, 60, 200)).max(-1) < 3).sum() > 10_000


def test_only_pictures_without_a_file_need_the_inputs():
    assert needs_inputs(CellVisualizationHook(draw=True), [sample()])
    assert not needs_inputs(CellVisualizationHook(draw=True), [sample(img_path='a.png')])
    assert not needs_inputs(CellVisualizationHook(), [sample()])


def test_numbers_have_as_many_decimals_as_tell_cells_apart():
    assert cell_plot.confidence_texts([0.5, 0.75, float('nan'), 1.0]) == ['0.50', '0.75', '-', '1.00']
    assert cell_plot.confidence_texts([0.998, 0.9991, 0.9993]) == ['0.9980', '0.9991', '0.9993']
    assert cell_plot.confidence_texts([0.998, 0.999]) == ['0.998', '0.999']
    assert cell_plot.confidence_texts([123.4]) == ['123']
    assert cell_plot.confidence_texts([float('nan')]) == ['-']
