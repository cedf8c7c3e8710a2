# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Decide on images with a bundle: ``python -m mmcascade.runtime BUNDLE IMAGE ...`` prints one line of JSON each."""

from __future__ import annotations

import argparse
import json
import sys

from mmcascade.runtime import Bundle, BundleError, Decision, Engine


def main(argv: list[str] | None = None) -> int:
    """Run the command line; 0 if everything was decided, 1 if an image or the bundle was at fault."""
    parser = argparse.ArgumentParser(prog='python -m mmcascade.runtime', description=__doc__)
    parser.add_argument('bundle', help='folder that `mmcascade export` made')
    parser.add_argument('images', nargs='*', help='image files')
    parser.add_argument('--engine', default='onnxruntime', choices=['onnxruntime', 'openvino'])
    parser.add_argument('--threads', type=int, default=0, help='of one graph; 0 = as many as the library likes')
    parser.add_argument('--check', action='store_true', help="run the bundle's own samples first")
    args = parser.parse_args(argv)
    try:
        bundle = Bundle(args.bundle, Engine(args.engine, args.threads))
        if args.check:
            check = bundle.check()
            print(f'{check.samples} samples as promised (confidence within {check.largest_difference:.1e})')
    except (BundleError, ImportError, ValueError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 1
    failed = False
    for name, result in zip(args.images, bundle.decide_each(args.images), strict=True):
        failed |= not isinstance(result, Decision)
        row = result.to_json() if isinstance(result, Decision) else {'error': result.error}
        print(json.dumps({'image': name} | row))
    return int(failed)


if __name__ == '__main__':
    sys.exit(main())
