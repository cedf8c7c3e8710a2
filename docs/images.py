# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Make the committed pictures of the docs again, each from the files behind its page: ``make docs-images``.

python docs/images.py [--work-dirs work_dirs]

What the demos leave is read below work_dirs. A picture whose demo has not run stays as it is, and the command that
makes its files is named.
"""

from __future__ import annotations

import argparse
import json
import runpy
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from measured.exits import OTHER_NETWORKS
from PIL import Image

from mmcascade.comparison.classification.plots import plot_policies
from mmcascade.comparison.exits.plot import plot_exits
from mmcascade.comparison.segmentation.plot import plot_miou_against_macs
from mmcascade.visualization.style import save

ROOT = Path(__file__).resolve().parents[1]
IMAGES = ROOT / 'docs' / 'en' / 'images'
STORE = 'quickstart/committee/store'
#: Per picture the file of a demo that it is, and the command that leaves it.
COPIES = {
    'ood_roc.png': ('quickstart/roc_tpr0.8.png', 'make demo'),
}
#: Per picture the options of a search over the quickstart's store, and the file that it leaves.
SEARCHES = {
    'search.png': (['--quality', 'coverage@risk=0.05'], 'pareto.png'),
    'confidences.png': (['--compare-confidences', 'small0@0'], 'confidences.png'),
}
#: The first of the canvases that demo-seg draws, and the command that leaves it.
CELLS = ('quickstart_seg/pictures', 'make demo-seg')
#: A photograph's pixels across, and what the shades of its colours are rounded to multiples of, which nobody sees: that
#: makes a third of the file.
ACROSS, SHADE = 1280, 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('--work-dirs', type=Path, default=ROOT / 'work_dirs')
    work_dirs = parser.parse_args().work_dirs.resolve()
    for script in ('idea_picture.py', 'architecture_picture.py'):
        runpy.run_path(str(ROOT / 'docs' / script))['main']()
    save(plot_policies(results_of('quickstart')['policies']), IMAGES / 'policies.png')
    for name, results in {'canvases': 'quickstart_seg', 'camvid': 'camvid'}.items():
        save(plot_miou_against_macs(results_of(results)), IMAGES / f'{name}_miou_macs.png')
    for name, others in OTHER_NETWORKS.items():
        save(plot_exits(results_of(name), others), IMAGES / f'{name}.png')
    for name, (file, command) in COPIES.items():
        if (work_dirs / file).is_file():
            shutil.copyfile(work_dirs / file, IMAGES / name)
        else:
            print(f'{name} stays as it is: there is no {file}, which {command} makes')
    folder, command = CELLS
    pictures = sorted((work_dirs / folder).rglob('*.png'))
    if pictures:
        save_photograph(pictures[0], IMAGES / 'cells.png')
    else:
        print(f'cells.png stays as it is: there is no picture in {folder}, which {command} makes')
    for name, (options, file) in SEARCHES.items():
        if not (work_dirs / STORE).is_dir():
            print(f'{name} stays as it is: there is no {STORE}, which make demo makes')
            continue
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder, 'out')
            words = [sys.executable, ROOT / 'tools' / 'search.py', work_dirs / STORE, '--out', out, *options]
            subprocess.run(list(map(str, words)), check=True, stdout=subprocess.DEVNULL)
            shutil.copyfile(out / file, IMAGES / name)


def save_photograph(source: Path, target: Path) -> None:
    """A PNG in a file of reasonable size, in nearly all of its colours."""
    with Image.open(source) as opened:
        picture = opened.convert('RGB')
    if picture.width > ACROSS:
        picture = picture.resize((ACROSS, round(picture.height * ACROSS / picture.width)), Image.Resampling.LANCZOS)
    pixels = np.asarray(picture).astype(int)
    rounded = (SHADE * ((pixels + SHADE // 2) // SHADE)).clip(0, 255)
    Image.fromarray(rounded.astype(np.uint8)).save(target, optimize=True)


def results_of(name: str) -> dict[str, Any]:
    """What was measured and committed."""
    found: dict[str, Any] = json.loads((ROOT / 'benchmarks' / 'results' / f'{name}.json').read_text())
    return found


if __name__ == '__main__':
    main()
