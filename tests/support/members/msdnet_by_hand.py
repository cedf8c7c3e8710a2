# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""MSDNet as arithmetic: the names, shapes and costs of its layers after the paper and its public implementation.

Nothing of the package is used here, so that what it builds can be compared with this.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

#: Options of the commands in the public implementation's README, and those of the paper's code.
COMMANDS = {
    'imagenet-step4': dict(blocks=5, base=4, step=4),
    'imagenet-step6': dict(blocks=5, base=6, step=6),
    'imagenet-step7': dict(blocks=5, base=7, step=7),
    'cifar-anytime': dict(blocks=10, base=4, step=2),
    'cifar-anytime-7': dict(blocks=7, base=4, step=2),
    'cifar-budgeted': dict(blocks=7, base=1, step=1, grows=True),
    'cifar-budgeted-5': dict(blocks=5, base=1, step=1, grows=True),
}


@dataclass
class Exit:
    """What lies between two exits, or in the head of one.

    Attributes:
        macs: products of convolutions and of the linear layer.
        rest: what the public counter adds to these: an operation for each value that ReLU sees, pooling, and biases of
            the linear layer.
        shapes: of the parameters and statistics, by their public names.
    """

    macs: int = 0
    rest: int = 0
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def parameters(self) -> int:
        """Their number, statistics of batch norms not among them."""
        statistics = ('running_mean', 'running_var', 'num_batches_tracked')
        return sum(math.prod(shape) for name, shape in self.shapes.items() if not name.endswith(statistics))

    def convolution(self, name, inputs, outputs, kernel, size, stride=1, place=0, padding=None, bias=False):
        """With batch norm and ReLU behind it; the size of its maps."""
        padding = kernel // 2 if padding is None else padding
        size = (size + 2 * padding - kernel) // stride + 1
        self.macs += inputs * outputs * kernel**2 * size**2
        self.rest += outputs * size**2
        self.shapes[f'{name}.{place}.weight'] = (outputs, inputs, kernel, kernel)
        if bias:
            self.shapes[f'{name}.{place}.bias'] = (outputs,)
        for part in ('weight', 'bias', 'running_mean', 'running_var'):
            self.shapes[f'{name}.{place + 1}.{part}'] = (outputs,)
        self.shapes[f'{name}.{place + 1}.num_batches_tracked'] = ()
        return size

    def bottleneck(self, name, inputs, outputs, width, size, stride):
        """Of so many times the outputs, and the convolution behind it."""
        narrow = min(inputs, width * outputs)
        self.convolution(name, inputs, narrow, 1, size)
        self.convolution(name, narrow, outputs, 3, size, stride, place=3)


def msdnet(blocks, base, step, grows=False, cifar=False, classes=1000):
    """Per exit what lies between it and the one before, and its head."""
    channels, growth, factors = (16, 6, (1, 2, 4)) if cifar else (32, 16, (1, 2, 4, 4))
    spans = [base] + [step * k + 1 if grows else step for k in range(1, blocks)]
    piece = math.ceil(sum(spans) / len(factors))  # of the depth, after which the finest scale is dropped
    sizes, found, layer = [], [], 0
    for block, span in enumerate(spans):
        body, place = Exit(), 0
        if block == 0:
            sizes, place = first_layer(body, channels, factors, cifar), 1
        for _ in range(span):
            layer += 1
            before, after = (len(factors) - max(0, n - 1) // piece for n in (layer - 1, layer))
            name = f'blocks.{block}.{place}'
            finest = len(factors) - after
            for k, scale in enumerate(range(finest, len(factors))):
                added, own = growth * factors[scale], f'{name}.layers.{k}.conv_normal.net'
                if scale == finest and before == after:
                    body.bottleneck(own, channels * factors[scale], added, factors[scale], sizes[scale], 1)
                    continue
                finer = scale - 1
                down = f'{name}.layers.{k}.conv_down.net'
                body.bottleneck(down, channels * factors[finer], added // 2, factors[finer], sizes[finer], 2)
                body.bottleneck(own, channels * factors[scale], added // 2, factors[scale], sizes[scale], 1)
            channels, place = channels + growth, place + 1
            if after < before:  # half of the channels stay
                for k, scale in enumerate(range(finest, len(factors))):
                    wide, narrow = channels * factors[scale], channels // 2 * factors[scale]
                    body.convolution(f'blocks.{block}.{place}.m.{k}.net', wide, narrow, 1, sizes[scale])
                channels, place = channels // 2, place + 1
        head = head_of(f'classifier.{block}', channels * factors[-1], 128 if cifar else None, sizes[-1], classes)
        found.append((body, head))
    return found


def first_layer(body, channels, factors, cifar):
    """From an image to all scales; the sizes of their maps."""
    if cifar:
        sizes = [body.convolution('blocks.0.0.layers.0.net', 3, channels, 3, 32)]
    else:
        size = body.convolution('blocks.0.0.layers.0', 3, channels, 7, 224, 2, bias=True)
        sizes = [(size + 2 - 3) // 2 + 1]
        body.rest += channels * sizes[0] ** 2 * 3**2
    for scale in range(1, len(factors)):
        wide, narrow = channels * factors[scale], channels * factors[scale - 1]
        sizes.append(body.convolution(f'blocks.0.0.layers.{scale}.net', narrow, wide, 3, sizes[-1], 2))
    return sizes


def head_of(name, inputs, hidden, size, classes):
    """Two convolutions, pooling and a linear layer, on the coarsest maps."""
    head, hidden = Exit(), hidden or inputs
    size = head.convolution(f'{name}.m.0.net', inputs, hidden, 3, size, 2)
    size = head.convolution(f'{name}.m.1.net', hidden, hidden, 3, size, 2)
    assert size == 2  # which pooling makes 1
    head.rest += hidden * 2**2 + classes
    head.macs += hidden * classes
    head.shapes |= {f'{name}.linear.weight': (classes, hidden), f'{name}.linear.bias': (classes,)}
    return head
