# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A whole cascade as one checkpoint and one self-contained config."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from mmengine.config import Config

from mmcascade.calibration.fit.result.calibration_file import Calibration
from mmcascade.models.cascades import cascade_class
from mmcascade.models.members.member_configs import model_config
from mmcascade.models.members.weights.saving import save_weights
from mmcascade.models.parts.config_file import write_config
from mmcascade.registry import MODELS


def bundle(cfg: Config, out_dir: str | Path, name: str = 'cascade') -> tuple[Path, Path]:
    """Write ``<name>.py`` and ``<name>.pth``, which any OpenMMLab test script takes as they are.

    The config describes every member in full and names no other checkpoint; the checkpoint holds tensors and plain
    values only, so it loads with ``weights_only=True``. The feature bank of a confidence with ``bank=`` is copied to
    ``<name>_bank.npz`` beside them; the config names the copy by its absolute path, so it tests from any folder, and
    who moves the folder corrects ``model.confidence.bank``.

    Args:
        cfg: config of a cascade whose members all load their weights.
        out_dir: folder, made if necessary.

    Returns:
        The paths of the config and of the checkpoint.

    Raises:
        ValueError: if the model is no cascade, or a member has no checkpoint.
    """
    if cascade_class(cfg) is None:
        raise ValueError(f'{cfg.model.get("type")} is no cascade: its config has no members to bundle')
    unloaded = [key for key, member in cfg.model.members.items() if member.get('checkpoint') is None]
    if unloaded:
        raise ValueError(
            f"member(s) {unloaded} have no checkpoint, so there are no weights to bundle; give each a path or 'zoo'"
        )
    model = MODELS.build(copy.deepcopy(cfg.model))
    bundled = copy.deepcopy(cfg)
    for key, member in bundled.model.members.items():
        bundled.model.members[key] = dict(
            {option: value for option, value in member.items() if option not in ('checkpoint', 'unsafe_checkpoint')},
            model=model_config(member.model),
        )
    if bundled.model.get('calibration') is not None:
        bundled.model.calibration = Calibration.load(cfg.model.calibration).to_json()
    if model.unit_name == 'image':
        # MMPretrain's own hook cannot draw several views; ours takes its options, from MMPretrain's script, too.
        hooks = dict(bundled.get('default_hooks') or {})
        bundled.default_hooks = hooks | {'visualization': _drawing(hooks.get('visualization'))}
    known = {'classes': model.classes, 'palette': model.palette}
    dataset_meta = {key: tuple(value) for key, value in known.items() if value is not None}
    meta: dict[str, Any] = {'dataset_meta': dataset_meta} if dataset_meta else {}
    out_dir = Path(out_dir)
    out_dir.mkdir(parents=True, exist_ok=True)
    confidence = bundled.model.get('confidence')
    if isinstance(confidence, Mapping) and isinstance(confidence.get('bank'), (str, Path)):
        bank = (out_dir / f'{name}_bank.npz').resolve()
        with suppress(shutil.SameFileError):
            shutil.copyfile(confidence['bank'], bank)
        bundled.model.confidence.bank = str(bank)
    config_path, checkpoint_path = out_dir / f'{name}.py', out_dir / f'{name}.pth'
    save_weights({'state_dict': model.state_dict(), 'meta': meta}, checkpoint_path)
    write_config(Config(_by_name(bundled.to_dict())), config_path)
    Config.fromfile(config_path)
    return config_path, checkpoint_path


def _drawing(hook: Mapping[str, Any] | None) -> dict[str, Any]:
    options = dict(hook or {})
    if str(options.pop('type', '')).rpartition('.')[2] == 'CascadeVisualizationHook':
        return dict(hook or {})
    kept = ('enable', 'interval', 'show', 'wait_time', 'out_dir')
    return {'type': 'mmcascade.CascadeVisualizationHook', **{key: options[key] for key in kept if key in options}}


def _by_name(config: Any) -> Any:
    """The config with classes and functions, as configs of the new style have them, replaced by their full names."""
    if isinstance(config, dict):
        return {key: _by_name(value) for key, value in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(_by_name(value) for value in config)
    return f'{config.__module__}.{config.__qualname__}' if hasattr(config, '__qualname__') else config
