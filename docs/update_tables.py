# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write the measured tables and pictures into README.md and the docs, from the files in benchmarks/results.

    python docs/update_tables.py           rewrite what is between the markers
    python docs/update_tables.py --check   say what is out of date, and exit with 1 if something is
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mmcascade.demo.plots import plot_policies
from mmcascade.demo.table import as_markdown, claim_sentences

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / 'benchmarks' / 'results'
IMAGES = ROOT / 'docs' / 'en' / 'images'


def quickstart(results: dict[str, Any]) -> str:
    machine = results['machine']
    where = (f"Measured by `make demo` on {machine['cores']} cores of {machine['cpu']}, torch {machine['torch']}, "
             'without a GPU. Accept thresholds and windows come from the calibration split, every figure from the test '
             'split of 10,000 images.')
    return '\n\n'.join([as_markdown(results), *claim_sentences(results), where])


#: Per marker: the results file and the function that renders it.
TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    'quickstart table': ('quickstart.json', quickstart),
}


def with_tables(text: str) -> str:
    """The text with everything between known markers made anew."""
    for name, (file, render) in TABLES.items():
        if f'<!-- {name} -->' in text:
            content = render(json.loads((RESULTS / file).read_text()))
            text = re.sub(f'(<!-- {name} -->).*?(<!-- end of {name} -->)',
                          lambda match, content=content: f'{match[1]}\n{content}\n{match[2]}', text, flags=re.DOTALL)
    return text


def main() -> None:
    stale = []
    for path in (ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md'))):
        before = path.read_text()
        after = with_tables(before)
        if after != before:
            stale.append(str(path.relative_to(ROOT)))
            if '--check' not in sys.argv:
                path.write_text(after)
    if '--check' not in sys.argv:
        plot_policies(json.loads((RESULTS / 'quickstart.json').read_text())['policies'], IMAGES / 'policies.png')
    if stale:
        print(('out of date: ' if '--check' in sys.argv else 'written: ') + ', '.join(stale))
    raise SystemExit(1 if stale and '--check' in sys.argv else 0)


if __name__ == '__main__':
    main()
