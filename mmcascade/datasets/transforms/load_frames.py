# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Clips as a pipeline's images."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import mmcv
import numpy as np
from mmcv.transforms import BaseTransform

from mmcascade._system.files import close_names
from mmcascade.registry import TRANSFORMS
from mmcascade.routing.checks import is_whole

#: What counts as a frame in a folder.
SUFFIXES = ('.jpg', '.jpeg', '.png', '.bmp', '.webp', '.tif', '.tiff')
#: Files of videos, which are not decoded.
VIDEOS = ('.mp4', '.m4v', '.mov', '.avi', '.mkv', '.webm', '.mpg', '.mpeg', '.wmv', '.flv', '.3gp', '.ts', '.gif')


@TRANSFORMS.register_module()
class LoadFrames(BaseTransform):
    """A clip from a folder of frames, which count in the order of their names, or from an array in a ``.npy`` file.

    Required keys: img_path. Added keys: img, uint8 ``(T, C, H, W)``; img_shape, ori_shape. ``PackInputs`` stacks such
    clips to a view ``(N, T, C, H, W)``; transforms of single images cannot stand between the two. Files of videos are
    not decoded; ffmpeg makes a folder of frames of one.

    Args:
        num_frames: so many evenly spaced ones, each the middle of an equal piece; a shorter clip repeats some.
        scale: height and width to resize to, or one number for the shorter edge; None = as they are.
        crop: height and width of the middle that is kept, or the side of a square; None = all.
        to_rgb: give RGB; files are read as BGR, as MMPretrain does. Arrays are taken as they are.

    Raises:
        ValueError: on numbers that are none, files of videos, a folder without frames, frames that cannot be read, and
            arrays that are no clip.
        FileNotFoundError: if there is nothing at the path.
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
        if path.suffix.lower() in VIDEOS and not path.is_dir():
            raise ValueError(
                f'{path} is a file of a video, and these are not decoded: make a folder of its frames, by\n'
                f'    {command_for_frames(path)}\nand name that folder without the {path.suffix} in its place'
            )
        if not path.exists():
            raise FileNotFoundError(f'there is no folder of frames and no .npy file {str(path)!r}{close_names(path)}')
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
        return [_read(files[k], self.to_rgb) for k in _spread(len(files), self.num_frames)]

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


def _read(file: Path, to_rgb: bool) -> np.ndarray:
    frame = mmcv.imread(str(file))
    if frame is None:
        raise ValueError(f'the frame {str(file)!r} cannot be read: it is no image, or cut off')
    return frame[..., ::-1] if to_rgb else frame


def command_for_frames(video: Path) -> str:
    """What makes a folder of frames of a video, beside it and without its ending; its frames are in their order.

    Example:
        >>> command_for_frames(Path('juggling/clip 1.mp4'))
        "mkdir -p 'juggling/clip 1' && ffmpeg -i 'juggling/clip 1.mp4' -q:v 2 'juggling/clip 1/%06d.jpg'"
    """
    folder = video.with_suffix('')
    quoted = [shlex.quote(str(name)) for name in (folder, video, folder / '%06d.jpg')]
    return 'mkdir -p {} && ffmpeg -i {} -q:v 2 {}'.format(*quoted)


def _spread(length: int, count: int) -> list[int]:
    """Indexes of so many evenly spaced frames, each the middle of an equal piece."""
    return [(2 * k + 1) * length // (2 * count) for k in range(count)]
