# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""The README.md of a bundle: what it is, what it promises, and how to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = """# {title}

A cascade of {count} pretrained classifier(s), written by mmcascade. It runs with numpy, Pillow and onnxruntime:

```python
from mmcascade.runtime import Bundle

for decision in Bundle('.').decide(['photo.jpg']):
    print(decision.class_name, decision.confidence, decision.accepted, decision.exit_stage, decision.macs)
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
    lines = [_HEAD.format(title=title, count=len({stage['member'] for stage in stages}))]
    lines.append('| stage | member | multiply-adds | goes on where the confidence lies in |\n|---:|---|---:|---|')
    rules = _rules(manifest['policy'], len(stages))
    for index, (stage, rule) in enumerate(zip(stages, rules, strict=True)):
        lines.append(f'| {index} | {_escaped(stage["member"])} | {_amount(stage["macs"])} | {rule} |')
    lines.append(
        f'\nConfidence is `{manifest["confidence"]}` of the running mean (fusion `{manifest["fusion"]}`); '
        'higher = more certain.'
    )
    accept = manifest['accept']
    lines.append(
        'There is no accept threshold.' if accept is None else f'A prediction is accepted from {accept:.6g} upwards.'
    )
    lines.append('\n## What was measured\n')
    lines += [f'- {sentence}' for sentence in sentences]
    return '\n'.join(lines) + '\n'


def _rules(policy: Mapping[str, Any], stages: int) -> list[str]:
    if policy['type'] == 'window':
        rules = ['nobody' if w is None else f'[{_bound(w[0])}, {_bound(w[1])}]' for w in policy['windows']]
    elif policy['type'] == 'threshold':
        rules = ['nobody' if t is None else f'at most {t:.6g}' for t in policy['thresholds']]
    else:
        rules = ['nobody' if r is None else f'a random {100 * r:.1f} %' for r in policy['rates']]
    return [*rules, 'nobody'][:stages]


def _bound(value: float | None) -> str:
    return 'open' if value is None else f'{value:.6g}'


def _amount(macs: float) -> str:
    return f'{macs / 1e9:.3f} G' if macs >= 1e9 else f'{macs / 1e6:.3f} M'


def _escaped(text: str) -> str:
    return text.replace('|', '\\|').replace('<', '&lt;')
