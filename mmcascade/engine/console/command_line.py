# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""One-line errors and progress bars under the names that two tools still import."""

from mmcascade.engine.console.errors import one_line_errors
from mmcascade.engine.console.progress import progress_bar

__all__ = ['one_line_errors', 'progress_bar']
