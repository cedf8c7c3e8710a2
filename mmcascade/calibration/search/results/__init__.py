# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""What is said of cascades that a search found: figures on other images, comparisons, and files.

``report`` routes them on units that did not choose them and fits their accept thresholds; ``pareto_file`` is the form
of ``pareto.json``, whose keys stay, as tables of the docs and configs are made from it. Pictures are drawn by
``visualization.search_plot``, and the terminal's tables are in ``engine.console``.
"""
