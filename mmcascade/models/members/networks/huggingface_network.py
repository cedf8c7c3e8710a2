# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""``hf-hub:ORG/NAME``, or a folder that ``save_pretrained`` made."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from mmcascade._system.extras import require
from mmcascade.models.members.networks.named_network import NamedNetwork, cannot_be_made
from mmcascade.models.members.recipes.huggingface_recipe import huggingface_recipe

#: What marks a folder of Hugging Face.
CONFIG, PROCESSOR = 'config.json', 'preprocessor_config.json'


def huggingface_network(name: str, pretrained: bool, num_classes: int | None = None) -> NamedNetwork:
    """A classifier of ``transformers``, of images or of clips (VideoMAE, TimeSformer).

    Code that a repository brings along is not run, and weights are read from safetensors files only.

    Args:
        name: ``ORG/NAME`` on the hub, or a local folder with config.json and preprocessor_config.json.
        pretrained: load its weights; else they are random.
        num_classes: of its head, instead of the library's.

    Raises:
        ValueError: if it is no image classifier, or something of it cannot be had.
    """
    require('transformers', 'a member of Hugging Face')
    from transformers import (
        AutoConfig,
        AutoImageProcessor,
        AutoModelForImageClassification,
        AutoModelForVideoClassification,
    )

    if Path(name).is_dir() and not (Path(name) / PROCESSOR).is_file():
        raise ValueError(
            f"'{name}' has no {PROCESSOR}, which says how images are prepared; save the image processor beside the "
            'model: processor.save_pretrained(FOLDER)'
        )
    try:
        processor = AutoImageProcessor.from_pretrained(name, backend='pil', trust_remote_code=False)
        config = AutoConfig.from_pretrained(name, trust_remote_code=False)
        if num_classes is not None:
            config.num_labels = num_classes
        of_clips = type(config) in AutoModelForVideoClassification._model_mapping
        kind = AutoModelForVideoClassification if of_clips else AutoModelForImageClassification
        if pretrained:
            network = kind.from_pretrained(name, trust_remote_code=False, use_safetensors=True)
        else:
            network = kind.from_config(config, trust_remote_code=False)
    except Exception as error:
        raise cannot_be_made(name, pretrained, error) from error
    classes = tuple(str(config.id2label[index]) for index in range(config.num_labels))
    recipe = replace(huggingface_recipe(processor), clip='NTCHW' if of_clips else None)
    return NamedNetwork(network, recipe, pretrained, config.num_labels, classes)


def is_huggingface_folder(path: str | Path) -> bool:
    """Whether a path is a folder that ``save_pretrained`` made."""
    return (Path(path) / CONFIG).is_file()
