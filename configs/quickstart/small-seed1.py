# The small member again, from seed 1. Initial weights and order of the images are all that differs.
_base_ = 'small-seed0.py'

randomness = dict(seed=1)
work_dir = 'work_dirs/quickstart/small-seed1'
