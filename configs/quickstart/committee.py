# Every stage that tools/search.py may choose from: the three members of the quickstart, and the one
# for self-cascades, plain and mirrored. The order here means nothing. Logits are averaged, as in
# "Wisdom of Committees".
_base_ = 'cascade.py'

members = 'work_dirs/quickstart'
model = dict(
    members=dict(
        augmented=dict(model='configs/quickstart/augmented.py', checkpoint=f'{members}/augmented/epoch_5.pth'),
        large=dict(model='configs/quickstart/large.py', checkpoint=f'{members}/large/epoch_5.pth'),
    ),
    stages=[
        dict(member='small0', view=0),
        dict(member='small1', view=0),
        dict(member='augmented', view=0),
        dict(member='augmented', view=0, flip=True),
        dict(member='large', view=0),
    ],
    fusion='logit',
)
