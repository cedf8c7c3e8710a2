# Three OOD sets for ImageNet. Where they come from: docs/en/user_guides/ood.md.
_base_ = 'ood.py'

ood_roots = {
    'openimage-o': 'data/openimage_o',
    'inaturalist': 'data/inaturalist',
    'textures': 'data/textures',
}
