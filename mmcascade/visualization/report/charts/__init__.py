# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Charts of the page: their geometry as plain SVG, their looks, and those of systems beside each other.

``Chart`` and ``Scale`` know points and texts only; colours are names that the style sheet decides, for light, dark and
paper, and match :mod:`~mmcascade.visualization.style` by ``looks``. No matplotlib here, and no figure is computed.
"""
