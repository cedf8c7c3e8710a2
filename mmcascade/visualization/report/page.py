# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Sections as one HTML file."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from mmcascade import __version__
from mmcascade.visualization.report.charts.looks import colours
from mmcascade.visualization.report.charts.svg import marker_path

TEMPLATES = Path(__file__).parent / 'template'


class PageSection(Protocol):
    """A part of the page."""

    @property
    def title(self) -> str:
        """Over the page, where there is no other section."""

    @property
    def template(self) -> str:
        """The file that shows it."""

    @property
    def moved(self) -> dict[str, Any] | None:
        """What its sliders show, see the script of the page; None = it has none."""


def page(sections: Sequence[PageSection]) -> str:
    """The HTML of a page.

    It names no address, and its policy forbids every request. All names are escaped, whatever they hold.

    Args:
        sections: one for each run.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals['marker'] = marker_path
    # Both are our own files: nothing of a run is in them.
    script = (TEMPLATES / 'page.js').read_text(encoding='utf-8')
    style = (TEMPLATES / 'page.css').read_text(encoding='utf-8') + _palette()
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return environment.get_template('page.html').render(
        title=sections[0].title if len(sections) == 1 else f'{len(sections)} runs of mmcascade',
        version=__version__,
        sections=sections,
        style=style,
        script=script,
        script_hash=digest,
        data=_json([section.moved for section in sections]),
    )


def _palette() -> str:
    return ''.join(f'.{name} {{ --c: {colour}; }}' for name, colour in colours().items())


def _json(data: Any) -> str:
    """JSON that can stand inside of a script element: nothing in it ends that element."""
    text = json.dumps(data, allow_nan=False, separators=(',', ':'))
    return text.replace('<', '\\u003c').replace('>', '\\u003e').replace('&', '\\u0026')
