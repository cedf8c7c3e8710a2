# Three OOD sets for ImageNet, as plain folders of images in any depth. Where they come from:
# docs/en/user_guides/ood.md. A config gives each a pipeline that ends with MarkOOD and PackInputs.
openimage_o = dict(
    type='CustomDataset', data_root='data/openimage_o', data_prefix='images', with_label=False, test_mode=True
)
inaturalist = dict(
    type='CustomDataset', data_root='data/inaturalist', data_prefix='images', with_label=False, test_mode=True
)
textures = dict(type='CustomDataset', data_root='data/textures', data_prefix='images', with_label=False, test_mode=True)
ood_evaluator = [
    dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1, 5))),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
    dict(type='mmcascade.OODDetection', tprs=(0.80, 0.95)),
    dict(type='mmcascade.SCOD', coverages=(0.5, 0.8), ood_share=0.5, ood_cost=1.0),
    dict(type='mmcascade.CascadeCost'),
]
