# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Clips as a pipeline's images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmcascade.registry import TRANSFORMS
from mmcascade.routing.checks import is_whole

#: What counts as a frame in a folder.
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')


@TRANSFORMS.register_module()
class LoadFrames(BaseTransform):
    """A clip from a folder of frames, which count in the order of their names, or from an array in a ``.npy`` file.

    Required keys: img_path. Added keys: img, uint8 ``(T, C, H, W)``; img_shape, ori_shape. ``PackInputs`` stacks such
    clips to a view ``(N, T, C, H, W)``; transforms of single images cannot stand between the two.

    Args:
        num_frames: so many evenly spaced ones, each the middle of an equal piece; a shorter clip repeats some.
        scale: height and width to resize to, or one number for the shorter edge; None = as they are.
        crop: height and width of the middle that is kept, or the side of a square; None = all.
        to_rgb: give RGB; files are read as BGR, as MMPretrain does. Arrays are taken as they are.

    Raises:
        ValueError: on numbers that are none, a folder without frames, and arrays that are no clip.
    """

    def __init__(
        self,
        num_frames: int,
        scale: int | tuple[int, int] | None = None,
        crop: int | tuple[int, int] | None = None,
        to_rgb: bool = True,
    ) -> None:
        if not is_whole(num_frames, 1):
            raise ValueError(f'num_frames is a whole number from 1, got {num_frames!r}')
        self.num_frames = num_frames
        self.scale = scale
        self.crop = (crop, crop) if isinstance(crop, int) else crop
        self.to_rgb = to_rgb

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Load the clip."""
        frames = [self._resized(frame) for frame in self._frames(Path(results['img_path']))]
        results['img'] = np.ascontiguousarray(np.stack(frames).transpose(0, 3, 1, 2))
        results['img_shape'] = results['ori_shape'] = results['img'].shape[-2:]
        return results

    def _frames(self, path: Path) -> list[np.ndarray]:
        if path.suffix == '.npy':
            clip = np.load(path, allow_pickle=False)
            if clip.ndim != 4 or clip.dtype != np.uint8:
                raise ValueError(
                    f'{path} holds an array of shape {clip.shape} in {clip.dtype}; a clip is uint8 (T, H, W, C)'
                )
            return [clip[index] for index in _spread(len(clip), self.num_frames)]
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES) if path.is_dir() else []
        if not files:
            raise ValueError(f'{path} is no folder with frames ({", ".join(SUFFIXES)}) and no .npy file')
        order = 'rgb' if self.to_rgb else 'bgr'
        return [mmcv.imread(str(files[k]), channel_order=order) for k in _spread(len(files), self.num_frames)]

    def _resized(self, frame: np.ndarray) -> np.ndarray:
        if isinstance(self.scale, int):
            height, width = frame.shape[:2]
            factor = self.scale / min(height, width)
            frame = mmcv.imresize(frame, (round(width * factor), round(height * factor)))
        elif self.scale is not None:
            frame = mmcv.imresize(frame, (self.scale[1], self.scale[0]))
        frame = frame[..., None] if frame.ndim == 2 else frame
        if self.crop is not None:
            top, left = ((side - kept) // 2 for side, kept in zip(frame.shape[:2], self.crop, strict=True))
            if min(top, left) < 0:
                raise ValueError(f'a crop of {self.crop} does not fit into frames of {frame.shape[:2]}; give a scale')
            frame = frame[top : top + self.crop[0], left : left + self.crop[1]]
        return frame

    def __repr__(self) -> str:
        return f'{type(self).__name__}(num_frames={self.num_frames}, scale={self.scale}, crop={self.crop})'


def _spread(length: int, count: int) -> list[int]:
    """Indexes of so many evenly spaced frames, each the middle of an equal piece."""
    return [(2 * k + 1) * length // (2 * count) for k in range(count)]
