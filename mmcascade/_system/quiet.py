# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What the libraries say on import, and no user can do anything about."""

from __future__ import annotations

import importlib.util
import logging
import os
import warnings
from typing import Any


def quiet_libraries() -> None:
    """Silence 'Could not import OneDL', warnings that nobody can act on, and what OpenCV says of broken images.

    Call it before the libraries are imported. The first is a debug message that MMEngine's ``print_log`` prints because
    it was given no logger. A broken image is told as an error of ours, with its name.
    """
    os.environ.setdefault('OPENCV_LOG_LEVEL', 'ERROR')
    warnings.filterwarnings('ignore', 'Fail to import ``MultiScaleDeformableAttention``', UserWarning)
    # Of MMSegmentation about the loss of every member that is built, and nothing here has a loss.
    warnings.filterwarnings('ignore', 'Default ``avg_non_ignore`` is False', UserWarning)
    warnings.filterwarnings('ignore', 'IProgress not found')  # of tqdm in a notebook without widgets
    warnings.filterwarnings('ignore', 'The given NumPy array is not writable', UserWarning)
    if importlib.util.find_spec('mmengine') is None:
        return
    import mmengine.logging as library

    loud = library.print_log
    if getattr(loud, 'drops_debug', False):
        return

    def print_log(msg: Any, logger: Any = None, level: int = logging.INFO) -> None:
        if logger is not None or level > logging.DEBUG:
            loud(msg, logger, level)

    print_log.drops_debug = True  # type: ignore[attr-defined]
    library.print_log = print_log
