# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The README.md of a bundle: what it is, what it promises, and how to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_USE = {
    'classification': """from mmcascade.runtime import Bundle

for decision in Bundle('.').decide(['photo.jpg']):
    print(decision.class_name, decision.confidence, decision.accepted, decision.exit_stage, decision.macs)""",
    'segmentation': """from mmcascade.runtime import SegmentationBundle

found = SegmentationBundle('.').segment('photo.png')
print(found.labels.shape, [(cell.confidence, cell.exit_stage) for cell in found.cells], found.macs)""",
}
_KINDS = {'classification': 'classifier(s)', 'segmentation': 'segmentor(s), which decides per cell of an image'}
_HEAD = """# {title}

A cascade of {count} pretrained {kind}, written by mmcascade. It runs with numpy, Pillow and onnxruntime:

```python
{use}
```

`python -m mmcascade.runtime . photo.jpg --check` does the same on a command line, after it has run the bundle's own
samples; `mmcascade serve .` puts it behind HTTP. Nothing in this folder is executed but the ONNX graphs, whose SHA-256
is in `cascade.json`.

## How it decides
"""


def card(manifest: Mapping[str, Any], title: str, sentences: Sequence[str]) -> str:
    """The card of a bundle, as Markdown.

    Args:
        manifest: its cascade.json.
        title: the cascade's name.
        sentences: what its calibration and its export found, each a list item.
    """
    stages = manifest['stages']
    lines = [
        _HEAD.format(
            title=title,
            count=len({stage['member'] for stage in stages}),
            kind=_KINDS[manifest['task']],
            use=_USE[manifest['task']],
        )
    ]
    lines.append('| stage | member | multiply-adds | goes on where the confidence lies in |\n|---:|---|---:|---|')
    rules = _rules(manifest['policy'], len(stages))
    for index, (stage, rule) in enumerate(zip(stages, rules, strict=True)):
        lines.append(f'| {index} | {_escaped(stage["member"])} | {_cost(stage)} | {rule} |')
    lines.append(
        f'\nConfidence is {_judged(manifest)} of the running mean (fusion `{manifest["fusion"]}`); '
        'higher = more certain.'
    )
    accepted = {'A prediction': manifest['accept']}
    if manifest['task'] == 'segmentation':
        accepted = {'An image, by the mean of its cells,': manifest['accept'], 'A cell': manifest.get('accept_cells')}
    told = [f'{what} is accepted from {start:.6g} upwards.' for what, start in accepted.items() if start is not None]
    lines.append(' '.join(told) or 'There is no accept threshold.')
    lines.append('\n## What was measured\n')
    lines += [f'- {sentence}' for sentence in sentences]
    return '\n'.join(lines) + '\n'


def _judged(manifest: Mapping[str, Any]) -> str:
    if manifest['task'] == 'classification':
        return f'`{manifest["confidence"]}`'
    cells = manifest['cells']
    number = f' {cells["number"]:g}' if 'number' in cells else ''
    return f'the {cells["reduce"]}{number} over the pixels of a cell of `{manifest["confidence"]}`'


def hub_card(manifest: Mapping[str, Any], card_text: str) -> str:
    """A bundle's card with the metadata that the Hugging Face Hub reads at its head."""
    lines = [
        'library_name: mmcascade',
        f'pipeline_tag: image-{manifest["task"]}',
        'tags:',
        *(f'- {tag}' for tag in ('mmcascade', 'cascade', 'early-exit', 'selective-prediction', 'onnx')),
    ]
    return '\n'.join(['---', *lines, '---', '', card_text])


def _rules(policy: Mapping[str, Any], stages: int) -> list[str]:
    if policy['type'] == 'window':
        rules = ['nobody' if w is None else f'[{_bound(w[0])}, {_bound(w[1])}]' for w in policy['windows']]
    elif policy['type'] == 'threshold':
        rules = ['nobody' if t is None else f'at most {t:.6g}' for t in policy['thresholds']]
    else:
        rules = ['nobody' if r is None else f'a random {100 * r:.1f} %' for r in policy['rates']]
    return [*rules, 'nobody'][:stages]


def _cost(stage: Mapping[str, Any]) -> str:
    """Of an image; of a segmentor also per crop, at each size that it has a graph for."""
    if 'graphs' not in stage:
        return _amount(stage['macs'])
    what = 'image' if stage['on'] == 'image' else 'crop'
    return '<br>'.join(
        f'{_amount(graph["macs"])} per {what} of {graph["size"][0]} x {graph["size"][1]}' for graph in stage['graphs']
    )


def _bound(value: float | None) -> str:
    return 'open' if value is None else f'{value:.6g}'


def _amount(macs: float) -> str:
    return f'{macs / 1e9:.3f} G' if macs >= 1e9 else f'{macs / 1e6:.3f} M'


def _escaped(text: str) -> str:
    return text.replace('|', '\\|').replace('<', '&lt;')
