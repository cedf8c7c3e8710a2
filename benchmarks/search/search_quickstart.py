# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
r"""Everything that the docs say about searching the stages of the quickstart, from their store.

    python tools/calibrate.py configs/quickstart/committee.py work_dirs/committee/all.json --target coverage=0.8 \
        --store work_dirs/committee/store
    python benchmarks/search/search_quickstart.py work_dirs/committee/store \
        --json benchmarks/results/search_quickstart.json
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from mmcascade.calibration.grid.plan import Plan
from mmcascade.calibration.replay.quality import Quality
from mmcascade.engine.console.search_table import committees_table, confidences_table, points_table
from mmcascade.engine.runs.search import SearchRun

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, machine

SCHEMA = 1


def measure(store: str, points: int, max_settings: float) -> dict[str, Any]:
    """Per section of the docs what tools/search.py writes."""
    with tempfile.TemporaryDirectory() as folder:

        def run(name: str) -> SearchRun:
            return SearchRun.open([store], Path(folder) / name, fusion='logit', points=points)

        def plan(quality: str, policy: str = 'window') -> Plan:
            return Plan(Quality.parse(quality), policy=policy, max_settings=max_settings)

        run('functions').confidences('small0')
        return {
            'coverage': run('coverage').front(plan('coverage@risk=0.05')),
            'accuracy': run('accuracy').front(plan('accuracy', 'threshold')),
            'convert': [
                run(f'convert-{goal}').converted('small0,small1,large', goal, plan('accuracy', 'threshold'))
                for goal in ('accuracy', 'cost')
            ],
            'confidences': json.loads((Path(folder) / 'functions' / 'confidences.json').read_text()),
        }


def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('store', help='score store of configs/quickstart/committee.py')
    parser.add_argument('--points', type=int, default=12, help='points of each front')
    parser.add_argument('--max-settings', type=float, default=Plan.max_settings)
    args = parser.parse_args()
    results = measure(args.store, args.points, args.max_settings)
    for rows in (
        points_table(results['coverage']),
        committees_table(results['accuracy']),
        *map(points_table, results['convert']),
        confidences_table(results['confidences']),
    ):
        rows.show()
    if args.json:
        Path(args.json).write_text(
            json.dumps(dict(schema=SCHEMA, machine=machine(), **results), indent=1, allow_nan=False) + '\n'
        )


if __name__ == '__main__':
    main()
