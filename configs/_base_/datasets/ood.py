# What is no class of the members, as plain folders of images in any depth, and what is measured on both kinds together.
# A config gives each folder a pipeline that ends with MarkOOD and `ood_pack`, and says how accuracy is measured.
ood_folder = dict(type='CustomDataset', with_label=False, test_mode=True)
# The two sets that tools/dataset_converters/digits.py writes.
ood_pictures = [dict(data_root='data/ood', data_prefix=name, **ood_folder) for name in ('digits', 'photo-tiles')]
ood_pack = dict(type='PackInputs', algorithm_keys=('ood', 'dataset'))
ood_metrics = [
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
    dict(type='mmcascade.OODDetection', tprs=(0.80, 0.95)),
    dict(type='mmcascade.SCOD', coverages=(0.5, 0.8), ood_share=0.5, ood_cost=1.0),
    dict(type='mmcascade.CascadeCost'),
]
# Of members with a thousand classes.
ood_evaluator = [dict(type='mmcascade.SubsetMetric', metric=dict(type='Accuracy', topk=(1, 5))), *ood_metrics]
