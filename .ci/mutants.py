# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Tries mutants that are drawn at random, and says per file how many a test killed.

The same number, seed and patterns draw the same mutants, so a run that was stopped goes on where it was: verdicts stay
in ``mutants/`` until the function they belong to changes.
"""

from __future__ import annotations

import argparse
import fnmatch
import random
import subprocess
import sys
from collections import Counter, defaultdict
from pathlib import Path


def verdicts_of(path: Path) -> dict[str, str]:
    """Every mutant of a source file by name, with what is known of it as the file is now."""
    from mutmut.mutation.data import SourceFileMutationData
    from mutmut.mutation.file_mutation import mutate_file_contents
    from mutmut.stats import status_by_exit_code
    from mutmut.utils.format_utils import get_mutant_name, mangled_name_from_mutant_name

    made = mutate_file_contents(str(path), path.read_text(encoding='utf-8'))
    known = SourceFileMutationData(path=path)
    known.load()
    verdicts = {}
    for mutant in made.mutant_names:
        function = mangled_name_from_mutant_name(mutant)
        name = get_mutant_name(path, mutant)
        same = made.hash_by_function_name.get(function) == known.hash_by_function_name.get(function)
        verdicts[name] = status_by_exit_code[known.exit_code_by_key.get(name) if same else None]
    return verdicts


def draw(names: list[str], patterns: list[str], number: int, seed: int) -> list[str]:
    """At most ``number`` of the names that match a pattern, or of all; a larger draw holds a smaller one."""
    asked = sorted(name for name in names if not patterns or any(fnmatch.fnmatch(name, one) for one in patterns))
    random.Random(seed).shuffle(asked)  # noqa: S311
    return asked[:number]


def all_verdicts() -> dict[str, str]:
    """What is known of every mutant."""
    from mutmut.utils.file_utils import walk_mutatable_files

    return {name: verdict for path in walk_mutatable_files() for name, verdict in verdicts_of(path).items()}


def table(verdicts: dict[str, str]) -> str:
    """Markdown: a row a file, then all; what survived stands below."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for name, verdict in verdicts.items():
        for row in (name.rpartition('.')[0].removeprefix('mmcascade.'), 'all'):
            counts[row][verdict if verdict in ('killed', 'survived', 'no tests', 'not checked') else 'others'] += 1
    columns = ('killed', 'survived', 'no tests', 'others', 'not checked')
    rows = ['| file | drawn | ' + ' | '.join(columns) + ' |', '| --- |' + ' ---: |' * (1 + len(columns))]
    for row in sorted(counts, key=lambda name: (name == 'all', name)):
        numbers = [counts[row].total(), *(counts[row][column] for column in columns)]
        rows.append(f'| `{row}` | ' + ' | '.join(map(str, numbers)) + ' |')
    survivors = sorted(name for name, verdict in verdicts.items() if verdict not in ('killed', 'not checked'))
    return '\n'.join([*rows, '', *(f'{verdicts[name]}: {name}' for name in survivors)])


def main() -> None:
    """Run the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('number', type=int, help='how many mutants to draw')
    parser.add_argument('patterns', nargs='*', help='names of mutants, with * (default: all mutants)')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--processes', type=int, default=2)
    args = parser.parse_args()
    before = all_verdicts()
    drawn = draw(list(before), args.patterns, args.number, args.seed)
    waiting = [name for name in drawn if before[name] == 'not checked']
    print(f'{len(drawn)} of {len(before)} mutants are drawn, {len(waiting)} of them wait for a verdict', flush=True)
    if waiting:
        command = [sys.executable, '-m', 'mutmut', 'run', '--max-children', str(args.processes), *waiting]
        subprocess.run(command, check=True)  # noqa: S603
    after = all_verdicts()
    print(table({name: after[name] for name in drawn}))


if __name__ == '__main__':
    main()
