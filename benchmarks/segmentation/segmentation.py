# Copyright (c) mmcascade contributors. Licensed under Apache-2.0.
"""A segmentation cascade beside MMSegmentation's whole and slide mode of its members, on the same images.

Time per image with its spread, how much of it is spent outside of the networks (enlarging, softmax, routing, cutting,
pasting), and the peak memory of one image, each system in a process of its own. Weights do not matter for any of
these, so members without a checkpoint keep random ones, images are noise, and a fixed random share of the cells goes
on. In a graph runtime, MMSegmentation's modes run the same graphs up to the map of the head.

Example: benchmarks/segmentation/segmentation.py configs/quickstart_seg/cascade.py --share 0.4 --json out.json
The committed file of PIDNet and SegFormer-B2 joins the rows of two runs with two threads and two images: one in torch
with --repeats 2, one with --runtime openvino --repeats 3.
"""

from __future__ import annotations

import argparse
import copy
import itertools
import multiprocessing
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import mock

import torch
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmseg.models import EncoderDecoder
from mmseg.models.data_preprocessor import SegDataPreProcessor
from mmseg.structures import SegDataSample

from mmcascade.engine.benchmark.timing import interleaved, spread
from mmcascade.models.cascade_segmentor import CascadeSegmentor
from mmcascade.models.cells.grid import CELLS_PER_IMAGE, Grid
from mmcascade.models.runtimes.build import build_runtime
from mmcascade.models.runtimes.engines import engine_from
from mmcascade.models.runtimes.execution import Execution
from mmcascade.models.runtimes.graph_runtime import GraphRuntime
from mmcascade.models.runtimes.graphs.agreement import sample_images
from mmcascade.models.runtimes.networks.segmentor_network import HeadNetwork, SegmentorNetwork
from mmcascade.registry import MODELS
from mmcascade.routing import RandomPolicy
from mmcascade.routing.units.outcome import Outcome

sys.path.insert(0, str(Path(__file__).parents[1]))
from common import arguments, print_table, write_rows
from random_networks import settling_norms

Run = partial[None]


@torch.no_grad()
def main() -> None:
    parser = arguments(__doc__)
    parser.add_argument('config', help='config of a CascadeSegmentor with two stages')
    parser.add_argument('--share', type=float, default=0.4, help='of the cells, goes on (default 0.4)')
    parser.add_argument('--size', type=int, nargs=2, default=[1024, 2048], help='of the images (default 1024 2048)')
    parser.add_argument('--stride', type=int, default=8, help='of the pixels that judge a cell (default 8)')
    parser.add_argument('--images', type=int, default=4, help='how many are labelled in one run (default 4)')
    parser.add_argument('--repeats', type=int, default=5, help='runs of each system (default 5)')
    parser.add_argument('--runtime', help="of every member, those of the larger one's rows included (default torch)")
    parser.add_argument('--device', default='cuda' if torch.cuda.is_available() else 'cpu')
    args = parser.parse_args()
    with TemporaryDirectory() as folder:
        args.weights = Path(folder, 'members.pth')
        measure(args)


def measure(args: argparse.Namespace) -> None:
    """Time all systems in turns, and print and write their rows."""
    systems = build(args)
    seconds = interleaved(systems, args.repeats, torch.device(args.device))
    whole = min(seconds['larger member, whole'])
    rows = []
    for name, times in seconds.items():
        per_image = spread([1e3 * t / args.images for t in times])
        rows.append(
            dict(
                name=name,
                ms_per_image=per_image['median'],
                lowest=per_image['lowest'],
                highest=per_image['highest'],
                times_whole=min(times) / whole,
                outside_ms=min(outside_members(systems[name]) for _ in range(args.repeats)) / args.images,
                peak_mib=peak_memory(args, name),
            )
        )
    print_table(rows)
    if args.json:
        write_rows(
            args.json,
            [
                dict(
                    row,
                    config=args.config,
                    share=args.share,
                    images=args.images,
                    repeats=args.repeats,
                    threads=torch.get_num_threads(),
                    runtime=args.runtime or 'torch',
                )
                for row in rows
            ],
        )


def build(args: argparse.Namespace) -> dict[str, Run]:
    """One run over all images for each system; all of them share their members."""
    cfg = Config.fromfile(args.config)
    init_default_scope('mmseg')
    for member in cfg.model.members.values():
        member.checkpoint = None
    for stage in cfg.model.stages:
        stage.runtime = args.runtime
    model = cascade(cfg.model, args)
    if args.weights.exists():
        model.members.load_state_dict(torch.load(args.weights, weights_only=True))
    else:
        for member in model.members.values():
            tame(member, args)
        torch.save(model.members.state_dict(), args.weights)
    spec = {**cfg.model, 'members': {name: dict(model=member) for name, member in model.members.items()}}
    larger = in_runtime(model.members[model.stages[-1].member], args.runtime)
    cell = [min(model.cell[0], args.size[0]), min(model.cell[1], args.size[1])] if model.cell else args.size
    smaller = in_runtime(model.members[model.stages[0].member], args.runtime)
    # Its own mode may be windows that overlap; those of the size of a cell without overlap are the cheapest ones.
    first, whole, slide = (copy.copy(member) for member in (smaller, larger, larger))
    first.test_cfg = whole.test_cfg = ConfigDict(mode='whole')
    slide.test_cfg = ConfigDict(mode='slide', crop_size=cell, stride=cell)
    generator = torch.Generator().manual_seed(0)
    images = [
        torch.randint(0, 256, (3, *args.size), dtype=torch.uint8, generator=generator) for _ in range(args.images)
    ]
    windows = {f'larger member, windows of {cell[0]}': partial(one_by_one, slide, images)}
    if larger.test_cfg.get('mode') == 'slide':
        side = larger.test_cfg.crop_size[0]
        windows = {f'larger member, its own windows of {side}': partial(one_by_one, larger, images)} | windows
    strided = dict(fusion='replace', confidence=all_pixels(args.stride))
    return {
        'smaller member, whole': partial(one_by_one, first, images),
        'larger member, whole': partial(one_by_one, whole, images),
        **windows,
        'cascade, image by image': partial(one_by_one, model, images),
        'cascade, cells of all images joined': partial(joined, model, images),
        "cascade, 'replace'": partial(one_by_one, cascade(spec, args, fusion='replace'), images),
        f"cascade, 'replace', stride {args.stride}": partial(one_by_one, cascade(spec, args, **strided), images),
    }


def cascade(spec: Mapping[str, Any], args: argparse.Namespace, **changes: Any) -> CascadeSegmentor:
    """A cascade that sends a share of the cells on, with random weights, which take as long as any others."""
    policy = dict(type='mmcascade.RandomPolicy', rates=[args.share])
    torch.manual_seed(0)
    options = {'calibration': None, 'policy': policy, 'confidence': all_pixels(), **changes}
    model: CascadeSegmentor = MODELS.build({**spec, **options})
    model._unloaded = set()
    assert model.router is not None and isinstance(model.router.policy, RandomPolicy)
    model.router.policy.seed = fair_seed(model, args)
    return model.to(args.device).eval()


def tame(member: Any, args: argparse.Namespace) -> None:
    """Norms of a random network get the statistics of some images, and its scores a spread of one."""
    network, size = SegmentorNetwork(member), (3, *args.size)
    with settling_norms(member):
        network(sample_images(2, size).to(args.device))
    others = sample_images(2, size, seed=1), torch.randint(0, 256, (1, *size), dtype=torch.uint8)
    spread = max(network(images.to(args.device)).values.std() for images in others)
    member.decode_head.conv_seg.weight.div_(spread)


def in_runtime(member: Any, runtime: str | None) -> Any:
    """MMSegmentation's own inference of a member, with its network up to the head's map run by a graph runtime."""
    if runtime is None:
        return member
    whole = copy.copy(member)
    whole.test_cfg = ConfigDict(mode='whole')  # what a graph is of; windows are cut around it
    network = build_runtime(HeadNetwork(whole), Execution(runtime=engine_from(runtime)))
    member = copy.copy(member)
    # The graph holds the member's own preprocessing. A copy of a module shares the dict of its parts.
    member._modules = {**member._modules, 'data_preprocessor': SegDataPreProcessor()}

    def encode_decode(inputs: torch.Tensor, metas: list[dict[str, Any]]) -> torch.Tensor:
        return member.decode_head.predict_by_feat(network(inputs).values, metas)

    member.encode_decode = encode_decode
    return member


def fair_seed(model: CascadeSegmentor, args: argparse.Namespace) -> int:
    """A draw that sends on as many of these few cells as the share says."""
    cells = torch.arange(len(Grid(tuple(args.size), model.cell)))
    units = torch.cat([number * CELLS_PER_IMAGE + cells for number in range(args.images)])
    most = round(args.share * len(units))
    drawn = (RandomPolicy([args.share], seed).go_on(0, units, units).sum() == most for seed in itertools.count())
    return next(seed for seed, fits in enumerate(drawn) if fits)


def all_pixels(stride: int = 1) -> dict[str, Any]:
    """Of random weights hardly a pixel reaches a threshold, and a cell of which no pixel counts always goes on."""
    return dict(type='mmcascade.CellConfidence', t_unk=None, stride=stride)


def batch(image: torch.Tensor, number: int) -> dict:
    size = tuple(image.shape[-2:])
    meta = dict(ori_shape=size, img_shape=size, sample_idx=number)
    return dict(inputs=[image], data_samples=[SegDataSample(metainfo=meta)])


def one_by_one(model: Any, images: list[torch.Tensor]) -> None:
    for number, image in enumerate(images):
        model.test_step(batch(image, number))


def joined(model: CascadeSegmentor, images: list[torch.Tensor]) -> None:
    """What DeferredTestLoop does: cells wait until a batch is full."""
    samples: list[SegDataSample] = []
    outcomes: list[Outcome] = []
    router = model.ready()
    with router.stream(wait_for=8) as stream:
        for number, image in enumerate(images):
            unpacked = model.unpack(batch(image, number))
            samples += unpacked.samples
            stream.enqueue(*unpacked.parts[0])
            outcomes += stream.run()
        outcomes += stream.flush()
    model.write_results(type(outcomes[0]).cat(outcomes).in_order(), samples)


@torch.no_grad()
def outside_members(run: Run) -> float:
    """Milliseconds of a run that are not spent in networks and their preprocessing.

    A network ends with the map of its head.
    """
    inside = 0.0

    def timed(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal inside
            start = time.perf_counter()
            output = function(*args, **kwargs)
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            inside += time.perf_counter() - start
            return output

        return call

    model = run.args[0]
    members = model.members.values() if isinstance(model, CascadeSegmentor) else [model]
    heads = {type(member.decode_head) for member in members}
    parts = [(EncoderDecoder, 'extract_feat'), (SegDataPreProcessor, 'forward'), (GraphRuntime, 'values')]
    with ExitStack() as stack:
        for kind, name in [*parts, *((head, 'forward') for head in heads)]:
            stack.enter_context(mock.patch.object(kind, name, timed(getattr(kind, name))))
        start = time.perf_counter()
        run()
        return 1e3 * (time.perf_counter() - start - inside)


def peak_memory(args: argparse.Namespace, name: str) -> float:
    """MiB above what is there before one image is labelled, in a fresh process."""
    with multiprocessing.get_context('spawn').Pool(1) as pool:
        return pool.apply(_peak, (args, name))


@torch.no_grad()
def _peak(args: argparse.Namespace, name: str) -> float:
    run = build(argparse.Namespace(**{**vars(args), 'images': 1}))[name]
    if args.device != 'cpu':
        run()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    if args.runtime is not None:
        run()  # opening a graph takes more than running it
    resident = _memory('VmRSS')
    Path('/proc/self/clear_refs').write_text('5')  # forget the peak so far; getrusage's is that of the parent, too
    run()
    return _memory('VmHWM') - resident


def _memory(name: str) -> float:
    line = next(line for line in Path('/proc/self/status').read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 2**10


if __name__ == '__main__':
    main()
