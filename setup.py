# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
from __future__ import annotations

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).parent
RESOURCES = ('configs', 'tools', 'model-index.yml')
# What CONTRIBUTING.md says was tried, and how.
PYTHONS = ('3.11', '3.12', '3.13')
# Where the files of a release can be read, with a slash at the end; empty as long as there is no such place.
HOME = ''
# Of README: a picture or a link of Markdown that has no address, but the path of a file.
RELATIVE = re.compile(r'(!?)\[([^]]*)\]\((?![a-z]+:|#)([^)]+)\)')


class BuildWithResources(build_py):
    """Carries configs/ and tools/ along as ``mmcascade/.mim``, where OpenMMLab looks for them.

    A hook of ``build_py`` runs under every front end (pip, build, setup.py). An editable install
    needs no copy: the package finds the two folders beside itself.
    """

    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        for name in RESOURCES:
            target = Path(self.build_lib, 'mmcascade', '.mim', name)
            shutil.rmtree(target, ignore_errors=True)
            if (ROOT / name).is_dir():
                shutil.copytree(ROOT / name, target, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copyfile(ROOT / name, target)


def requirements(name: str) -> list[str]:
    """Read requirements/<name>.txt without its comments."""
    lines = (ROOT / 'requirements' / f'{name}.txt').read_text().splitlines()
    return [line for line in lines if line and not line.startswith('#')]


# Members are networks of torch; what else is asked for brings what it imports, and torch with it where it needs that.
WITH_TORCH = ('onedl', 'openmmlab')
EXTRAS = (
    'torch', *WITH_TORCH, 'runtime', 'onnx', 'openvino', 'serve', 'ray', 'parquet', 'tensorboard', 'torchmetrics',
    'demo', 'tests', 'lint',
)  # fmt: skip


def extras() -> dict[str, list[str]]:
    """What each extra installs."""
    found = {name: requirements(name) for name in EXTRAS}
    return found | {name: [*found['torch'], *found[name]] for name in WITH_TORCH}


def described(readme: str, home: str = HOME) -> str:
    """README for the page of an index, where a path leads nowhere: links lead to ``home``, or else name their file."""

    def elsewhere(found: re.Match[str]) -> str:
        picture, text, path = found.groups()
        if home:
            return f'{picture}[{text}]({home}{path})'
        file = f'`{path.partition("#")[0]}`'
        return '' if picture else file if text == path else f'{text} ({file})'

    return RELATIVE.sub(elsewhere, readme)


def version() -> str:
    """Read ``__version__`` without importing the package."""
    source = (ROOT / 'mmcascade' / '__init__.py').read_text()
    return re.search(r"^__version__ = '(.+)'$", source, re.MULTILINE).group(1)


setup(
    name='mmcascade',
    version=version(),
    description='Window-based early-exit cascades of pretrained classifiers and segmentors for OpenMMLab',
    long_description=described((ROOT / 'README.md').read_text(encoding='utf-8')),
    long_description_content_type='text/markdown',
    author='mmcascade contributors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=[
        'cascade',
        'early exit',
        'selective classification',
        'out-of-distribution detection',
        'ensemble',
        'risk control',
        'OpenMMLab',
        'MMPretrain',
        'MMSegmentation',
        'PyTorch',
    ],
    project_urls={
        'Paper (window-based early exit)': 'https://arxiv.org/abs/2303.08010',
        'Paper (Wisdom of Committees)': 'https://arxiv.org/abs/2012.01988',
    },
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Developers',
        'Intended Audience :: Science/Research',
        'Operating System :: POSIX :: Linux',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3 :: Only',
        *(f'Programming Language :: Python :: {version}' for version in PYTHONS),
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
        'Topic :: Scientific/Engineering :: Image Recognition',
        'Typing :: Typed',
    ],
    python_requires=f'>={PYTHONS[0]}',
    packages=find_packages(include=['mmcascade', 'mmcascade.*']),
    package_data={'mmcascade': ['py.typed', 'serving/page/*', 'visualization/report/template/*']},
    install_requires=requirements('base'),
    extras_require=extras(),
    entry_points={'console_scripts': ['mmcascade = mmcascade.__main__:main']},
    cmdclass={'build_py': BuildWithResources},
)
