# TimeSformer on 8 frames, then VideoMAE on 16, both ViT-B of Hugging Face with their weights of Kinetics-400. They were
# trained with the same mean and deviation of pixels, which come along.
_base_ = ['_base_/kinetics400.py', '../_base_/default_runtime.py']

model = dict(
    type='mmcascade.WindowCascadeClassifier',
    members=dict(
        timesformer=dict(model='hf-hub:facebook/timesformer-base-finetuned-k400', checkpoint='zoo'),
        videomae=dict(model='hf-hub:MCG-NJU/videomae-base-finetuned-kinetics', checkpoint='zoo'),
    ),
    stages=[
        dict(member='timesformer', frames=8),
        dict(member='videomae'),
    ],
    confidence='max_prob',
    fusion='prob',
    policy=None,
    calibration=None,
)
