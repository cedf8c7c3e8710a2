# Fashion-MNIST for one experiment: 50,000 training images to train on, the other 10,000 of them to
# calibrate on, and the 10,000 test images to test on and nothing else.
# `python tools/dataset_converters/fashion_mnist.py` fetches the files.
data_root = 'data/fashion_mnist'
pipeline = [dict(type='PackInputs')]

train_images = dict(type='FashionMNIST', data_root=data_root, split='train', download=False, pipeline=pipeline)
test_images = dict(
    type='FashionMNIST', data_root=data_root, split='test', test_mode=True, download=False, pipeline=pipeline
)
split = dict(type='mmcascade.CalibrationSplit', num=10000, seed=0, dataset=train_images)

# Reading from memory is quick: a worker process would spend more on passing the images on.
loader = dict(num_workers=0, pin_memory=False, collate_fn=dict(type='default_collate'))
train_dataloader = dict(
    batch_size=250, dataset=dict(part='rest', **split), sampler=dict(type='DefaultSampler', shuffle=True), **loader
)
val_dataloader = dict(
    batch_size=500,
    dataset=dict(part='calibration', **split),
    sampler=dict(type='DefaultSampler', shuffle=False),
    **loader,
)
test_dataloader = dict(
    batch_size=500, dataset=test_images, sampler=dict(type='DefaultSampler', shuffle=False), **loader
)
val_cfg = dict()
test_cfg = dict()
val_evaluator = [
    dict(type='Accuracy', topk=(1,)),
    dict(type='mmcascade.SelectiveRisk', risks=(0.05, 0.10), coverages=(0.5, 0.8)),
]
test_evaluator = val_evaluator
