# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Write the measured tables into README.md and the docs, from the files in benchmarks/results.

python docs/update_tables.py           rewrite what is between the markers
python docs/update_tables.py --check   say what is out of date, and exit with 1 if something is
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / 'docs'))
from measured import (  # noqa: E402
    calibration,
    choices,
    clips,
    exits,
    first_page,
    graphs,
    headline,
    other_tools,
    search,
    segmentation,
    serving,
    speed,
    systems,
)

RESULTS = ROOT / 'benchmarks' / 'results'

#: Per marker: the results file and the function that renders it.
TABLES: dict[str, tuple[str, Callable[[dict[str, Any]], str]]] = {
    'headline table': ('headline.json', first_page.readme),
    'headline overview': ('headline.json', headline.overview),
    'headline widths': ('headline.json', headline.widths),
    'headline draws': ('headline.json', headline.draws),
    'headline cifar10': ('headline.json', headline.systems_of('cifar10')),
    'headline imagenet': ('headline.json', headline.systems_of('imagenet_subset')),
    'headline quickstart': ('headline.json', headline.systems_of('quickstart')),
    'deferral by other tools': ('headline.json', other_tools.deferral),
    'ways around members': ('peers.json', other_tools.ways),
    'libraries table': ('metrics_speed.json', other_tools.libraries),
    'headline times': ('headline.json', headline.times),
    'front table': ('front_cifar10.json', search.unseen_front),
    'defaults table': ('defaults.json', choices.defaults),
    'drift table': ('drift.json', choices.drift),
    'quickstart table': ('quickstart.json', systems.quickstart),
    'search table': ('search_quickstart.json', search.search_of('coverage')),
    'convert table': ('search_quickstart.json', search.search_of('convert')),
    'committees table': ('search_quickstart.json', search.committees),
    'confidences table': ('search_quickstart.json', search.confidences),
    'search speed table': ('search_speed.json', search.search_speed),
    'cell search speed table': ('cell_search_speed.json', search.cell_search_speed),
    'ood table': ('quickstart.json', systems.ood),
    'CIFAR-10 ood table': ('ood_cifar10.json', systems.ood_cifar10),
    'lite ood table': ('ood_lite.json', systems.ood_lite),
    'ood scores table': ('ood_scores.json', systems.ood_scores),
    'self-cascade table': ('self_cascade.json', systems.views),
    'device views table': ('device_views.json', speed.device_views),
    'view agreement table': ('view_agreement.json', speed.view_agreement),
    'peers table': ('peers.json', speed.peers),
    'mirrored peers table': ('peers_mirrored.json', speed.peers),
    'zoo export table': ('zoo_export.json', graphs.families),
    'member runtimes table': ('member_runtimes.json', speed.member_runtimes),
    'precision table': ('precision_cascade.json', speed.precision_cascade),
    'exits table': ('multi_exit.json', exits.exits(exits.OTHER_NETWORKS['multi_exit'])),
    'exits cifar10 table': ('multi_exit_cifar10.json', exits.exits(exits.OTHER_NETWORKS['multi_exit_cifar10'])),
    'moving garments table': ('moving_garments.json', clips.moving_garments),
    'exit curves table': ('multi_exit.json', exits.curves),
    'exit times table': ('exit_times.json', speed.exit_times),
    'end to end table': ('end_to_end.json', speed.loop_rows),
    'metrics speed table': ('metrics_speed.json', speed.metrics_speed),
    'router overhead table': ('router_overhead.json', speed.router_overhead),
    'targets table': ('operating_points_2.json', calibration.targets),
    'shifted table': ('operating_points_2.json', calibration.shifted),
    'reached or all table': (
        'operating_points_3.json',
        lambda results: calibration.reached_or_all(
            results, json.loads((RESULTS / 'operating_points_3_all.json').read_text())
        ),
    ),
    'guarantee table': ('guarantee.json', calibration.guarantee),
    'certificates table': ('guarantee.json', calibration.certificates),
    'guarantee simulation': ('guarantee_simulation.json', calibration.simulated),
    'score maps table': ('score_maps.json', calibration.score_maps),
    'badly scaled member': ('score_maps_scaled.json', calibration.badly_scaled),
    'canvases table': ('quickstart_seg.json', segmentation.systems),
    'camvid table': ('camvid.json', segmentation.systems),
    'camvid drives table': ('camvid_drives.json', segmentation.drives),
    'joined cells table': ('joined_cells.json', segmentation.joined),
    'segmentation speed table': ('segmentation.json', segmentation.speed),
    'segmentation pidnet table': ('segmentation_pidnet.json', segmentation.speed),
    'cell decisions': ('cell_decisions.json', segmentation.decisions),
    'map bounds': ('cell_decisions.json', segmentation.bounds),
    'stride table': ('cell_confidence_stride.json', segmentation.strides),
    'serving load table': ('serve_load.json', serving.load),
    'serving prices table': ('serve_engines.json', serving.prices),
    'Cityscapes costs table': ('cityscapes_macs.json', segmentation.cityscapes_macs),
    'zoo pairs table': ('zoo_pairs_macs.json', segmentation.zoo_pairs),
}


def _between(content: str, markers: re.Match[str]) -> str:
    return f'{markers[1]}\n{content}\n{markers[2]}'


def with_tables(text: str) -> str:
    """The text with everything between known markers made anew."""
    for name, (file, render) in TABLES.items():
        if f'<!-- {name} -->' in text:
            content = render(json.loads((RESULTS / file).read_text()))
            text = re.sub(
                f'(<!-- {name} -->).*?(<!-- end of {name} -->)',
                partial(_between, content),
                text,
                flags=re.DOTALL,
            )
    return text


def main() -> None:
    stale = []
    for path in (ROOT / 'README.md', *sorted((ROOT / 'docs').rglob('*.md')), *sorted((ROOT / 'configs').rglob('*.md'))):
        before = path.read_text()
        after = with_tables(before)
        if after != before:
            stale.append(str(path.relative_to(ROOT)))
            if '--check' not in sys.argv:
                path.write_text(after)
    if stale:
        print(('out of date: ' if '--check' in sys.argv else 'written: ') + ', '.join(stale))
    raise SystemExit(1 if stale and '--check' in sys.argv else 0)


if __name__ == '__main__':
    main()
