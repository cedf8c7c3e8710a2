# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""Exits of one network: each alone, and cascades of them with every policy at equal cost.

It replays stored exits (``systems``) and tests the configs of those that stand in the table. How a network's exits are
run is in ``models.stages.exit_stage``, and shares for budgets are fitted in ``calibration.fit.one_sided``. Keys of
``results`` stay.
"""
