# Members of the zoo build and load unmodified under their own library's scope.
_base_ = 'mmseg_runtime.py'

default_hooks = dict(visualization=dict(type='mmcascade.CellVisualizationHook'))  # draws with `--show-dir`
custom_hooks = [dict(type='mmcascade.StageTableHook')]
