# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What a search of ``build`` tried, from what ``results.json`` holds of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmcascade._system.tables import Column, Table, with_interval
from mmcascade.evaluation.standings.cost_unit import unit_of


def chains_table(searched: Mapping[str, Any], most: int | None = None) -> Table:
    """The chain that was taken, and those that lost, on images that the search did not see.

    Args:
        searched: the entry ``search`` of the results.
        most: how many chains to show; None = all that are there.
    """
    chains, unit = searched['chains'][:most], unit_of(searched['cost'])
    reference = chains[0][unit.key]
    rows = []
    for row in chains:
        quality, less = row['quality'], row['difference']
        rows.append(
            [
                row['name'],
                with_interval(quality['estimate'], quality['low'], quality['high'], '.1f', 100),
                None if less is None else with_interval(less['estimate'], less['low'], less['high'], '+.1f', 100),
                unit.text(row[unit.key]),
                f'{row[unit.key] / reference:.2f}x' if reference else None,
                row['why'],
            ]
        )
    columns = [
        Column('chain', left=True),
        Column(f'{searched["measure"]}, %'),
        Column('less the chosen one'),
        Column(unit.short),
        Column('cost'),
        Column('on the calibration part', left=True),
    ]
    return Table.of(columns, rows)


def shown_search(results: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What results hold of a search; None where nothing was searched.

    Raises:
        ValueError: if it cannot be shown.
    """
    searched: Mapping[str, Any] | None = results.get('search')
    if searched is None:
        return None
    try:
        chains_table(searched).texts()
        chosen_sentence(searched)
        str(searched.get('verdict', ''))
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f'what the search tried cannot be shown ({error}); build again') from error
    return searched


def chosen_sentence(searched: Mapping[str, Any]) -> str:
    """Which chain was taken, and why.

    Example:
        >>> chosen_sentence(dict(chains_tried=5, images=900, chosen='small > large', why='the cheapest that serves'))
        'Chosen of 5 chains on 900 images of the calibration part: small > large, the cheapest that serves.'
    """
    return (
        f'Chosen of {searched["chains_tried"]} chains on {searched["images"]:,} images of the calibration part: '
        f'{searched["chosen"]}, {searched["why"]}.'
    )
