# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Decide on images with a bundle: ``python -m mmcascade.runtime BUNDLE IMAGE ...`` prints one line of JSON each."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from mmcascade.runtime import Bundle, BundleError, Decision, Engine, ImageError, SegmentationBundle, open_bundle


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 if everything was decided, 1 if an image or the bundle was at fault."""
    parser = argparse.ArgumentParser(prog='python -m mmcascade.runtime', description=__doc__)
    parser.add_argument('bundle', help='folder that `mmcascade export` made')
    parser.add_argument('images', nargs='*', help='image files')
    parser.add_argument('--engine', default='onnxruntime', choices=['onnxruntime', 'openvino'])
    parser.add_argument('--threads', type=int, default=0, help='of one graph; 0 = as many as the library likes')
    parser.add_argument('--check', action='store_true', help="run the bundle's own samples first")
    parser.add_argument('--labels', help="folder for the labels of a segmentor's images, as PNG files")
    args = parser.parse_intermixed_args(argv)
    try:
        bundle = open_bundle(args.bundle, Engine(args.engine, args.threads))
        if not args.images and not args.check:
            raise ValueError('there is nothing to do: name files of images, or --check')
        if args.labels is not None and isinstance(bundle, Bundle):
            raise ValueError(f'--labels is for bundles that label pixels, and {args.bundle} decides on whole images')
        if args.check:
            check = bundle.check()
            print(f'{check.samples} samples as promised (confidence within {check.largest_difference:.1e})')
        rows = _decided(bundle, args.images) if isinstance(bundle, Bundle) else _labelled(bundle, args)
        failed = False
        for name, row in zip(args.images, rows, strict=True):
            failed |= 'error' in row
            print(json.dumps({'image': name} | row))
    except (BundleError, ImportError, ValueError, OSError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    return int(failed)


def _decided(bundle: Bundle, images: list[str]) -> Iterator[dict[str, object]]:
    for result in bundle.decide_each(images):
        yield result.to_json() if isinstance(result, Decision) else {'error': result.error}


def _labelled(bundle: SegmentationBundle, args: argparse.Namespace) -> Iterator[dict[str, object]]:
    folder = None if args.labels is None else Path(args.labels)
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    stems = [Path(image).stem for image in args.images]
    for place, found in enumerate(bundle.segment_each(args.images)):
        if isinstance(found, ImageError):
            yield {'error': str(found)}
            continue
        row = found.to_json()
        if folder is not None:
            # Images of several folders may share a name.
            stem = stems[place] if stems.count(stems[place]) == 1 else f'{place}-{stems[place]}'
            (folder / f'{stem}.png').write_bytes(found.png())
            row['labels'] = str(folder / f'{stem}.png')
        yield row


if __name__ == '__main__':
    sys.exit(main())
