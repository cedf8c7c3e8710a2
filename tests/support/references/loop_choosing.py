# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Stages that choose what they run on as a plain loop over the cells of one image: slow, obvious, all partitions."""

from __future__ import annotations

import functools

import numpy as np
import torch

from tests.support.references.loop_segmentor import cell_score, cells_of, fuse, goes_on, scores_of, starts


def cells_of_rectangle(rectangle):
    top, left, bottom, right = rectangle
    return [(row, column) for row in range(top, bottom) for column in range(left, right)]


def partitions(cells):
    """All ways to cover (row, column) by rectangles (top, left, bottom, right)."""
    if not cells:
        yield []
        return
    rows, columns = zip(*cells, strict=True)
    top, left = min(cells)
    for bottom in range(top + 1, max(rows) + 2):
        for right in range(left + 1, max(columns) + 2):
            inside = set(cells_of_rectangle((top, left, bottom, right)))
            if inside <= cells:
                for rest in partitions(cells - inside):
                    yield [(top, left, bottom, right), *rest]


def cheapest(cells, price):
    """The partition of the lowest cost, and of several the first in order."""
    return min((sorted(way) for way in partitions(cells)), key=lambda way: (sum(map(price, way)), way))


def crop_of(rectangle, boxes, columns, side, margin, size):
    """Around full cells that end where the last one ends, moved to lie inside the image."""
    last = boxes[(rectangle[2] - 1) * columns + rectangle[3] - 1]
    ends = []
    for cells, end, whole in (
        (rectangle[2] - rectangle[0], last[2], size[0]),
        (rectangle[3] - rectangle[1], last[3], size[1]),
    ):
        length = min(cells * side + 2 * margin, whole)
        begin = min(max(end - cells * side - margin, 0), whole - length)
        ends.append((begin, begin + length))
    (top, bottom), (left, right) = ends
    return top, left, bottom, right


@functools.cache
def macs_of(member, height, width):
    return scores_of(member, torch.zeros(3, height, width, dtype=torch.uint8))[1]


def choosing_loop(members, pixels, side, rules, margin, fusion='prob', join=(), fallbacks=()):
    """Stage by stage: who goes on is known, then rectangles of cells are run, or the image.

    Args:
        join, fallbacks: numbers of the stages that do.

    Returns:
        Probabilities ``(C, H, W)``, exit stages and multiply-adds of cells, and per stage the rectangles (None = the
        image).
    """
    height, width = pixels.shape[-2:]
    boxes, columns = cells_of(height, width, side), len(starts(width, side))
    areas = [(bottom - top) * (right - left) for top, left, bottom, right in boxes]
    scores, macs, here, ways = [[] for _ in boxes], [0.0] * len(boxes), list(range(len(boxes))), []
    exits, probs = [0] * len(boxes), None
    for stage, member in enumerate(members):
        places = {divmod(cell, columns) for cell in here}

        def crop(rectangle):
            return crop_of(rectangle, boxes, columns, side, margin, (height, width))

        def price(rectangle, member=member):
            top, left, bottom, right = crop(rectangle)
            return macs_of(member, bottom - top, right - left)

        whole = macs_of(member, height, width)
        way = cheapest(places, price) if stage in join else [(r, c, r + 1, c + 1) for r, c in sorted(places)]
        if stage == 0 or (stage in fallbacks and here and sum(map(price, way)) >= whole):
            way = None
        ways.append(way)
        if way is None:
            runs = [((0, 0, height, width), whole, here)]
        else:
            runs = [(crop(x), price(x), [r * columns + c for r, c in cells_of_rectangle(x)]) for x in way]
        for (y, x, y2, x2), cost, cells in runs:
            maps, spent = scores_of(member, pixels[:, y:y2, x:x2])
            assert spent == cost
            for cell in cells:
                top, left, bottom, right = boxes[cell]
                scores[cell].append(maps[:, top - y : bottom - y, left - x : right - x])
                exits[cell] = stage
                macs[cell] += cost * areas[cell] / sum(areas[c] for c in cells)
        if stage < len(members) - 1:
            here = [c for c in here if goes_on(rules[stage], cell_score('max_prob', scores[c], fusion), 'go_on')]
    for (top, left, bottom, right), found in zip(boxes, scores, strict=True):
        if probs is None:
            probs = np.zeros((len(found[0]), height, width))
        probs[:, top:bottom, left:right] = fuse(found, fusion)
    return probs, exits, macs, ways
