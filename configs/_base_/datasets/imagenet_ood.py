# Three OOD sets for ImageNet. Where they come from: docs/en/user_guides/ood.md.
_base_ = 'ood.py'

ood_roots = {
    'openimage-o': 'data/openimage_o',
    'inaturalist': 'data/inaturalist',
    'textures': 'data/textures',
}
ood_evaluator = [
    dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1, 5))),
    *_base_.ood_metrics,
]
