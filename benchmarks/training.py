"""Training, ours against a plain PyTorch loop in the style of the field: images a second on the same work.

    python benchmarks/training.py [--device cuda] [--source FOLDER] [--steps 14] [--rounds 3]

Both train the same tower on the same batches of 64 with cross-entropy and batch-hard triplet, on as many threads. The
plain loop is a Dataset that decodes with PIL, torchvision's transforms, a DataLoader, Adam and `.item()` every step, in
float32 and with autocast (AMP: bfloat16 on a CPU, float16 with a scaled gradient on a GPU). Ours is the loop of
engine/train.py with its events and without validation, after the images were decoded once, which is timed by itself.

FOLDER: a data set in the layout of 11k Hands, enlarged into 1600x1200 JPEG files; drawn hands where it is not there.
"""

from __future__ import annotations

import argparse
import logging
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import torch
from common import interleaved, machine, make_photos, ratio
from PIL import Image
from plain_loop import PlainLoop

from engine.contract import run_files
from engine.contract.config import RunConfig, resolve
from engine.contract.events import EventWriter
from engine.data.cache import Resize, load_pixels
from engine.machine.device import Device
from engine.machine.parallel import Workers
from engine.training.meter import Meter
from engine.training.schedule import rate_factor
from engine.training.setup import TrainingSetup, prepare

FORWARD_GFLOP = {"ViT-B-16-quickgelu": 35.1, "RN50-quickgelu": 12.2}  # an image at 224; backward costs twice as much
EPOCHS, EPOCH_STEPS = 60, 14  # 890 images in batches of 64
MATMUL = 8192


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cpu", choices=("cpu", "cuda"))
    parser.add_argument("--source", type=Path, default=Path(__file__).parents[2] / "shared/data/11k-mini")
    parser.add_argument("--images", type=int, default=320, help="photos in the data set")
    parser.add_argument("--steps", type=int, default=EPOCH_STEPS, help="steps of a timed epoch")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=min(8, os.cpu_count() or 1), help="of the plain DataLoader")
    parser.add_argument("--threads", type=int, help="of both sides; empty: as the recipe of the model has it")
    parser.add_argument("--compile", action="store_true", help="torch.compile for ours")
    options = parser.parse_args()
    logging.getLogger().setLevel(logging.ERROR)  # open_clip reports on the root logger
    gpu = options.device == "cuda"
    print(machine(torch.cuda.get_device_name() if gpu else "none"))
    print(f"batch 64, {options.workers} loader workers; {options.rounds} rounds in turns of {options.steps} steps;")
    print(f"sources: {'photos' if options.source.is_dir() else 'drawn hands'}, enlarged\n")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["HANDREID_CACHE"] = str(folder / "cache")
        large = make_photos(folder, options.images, (1600, 1200), options.source)
        decoding(large, folder, options.rounds, 224 if gpu else 64)
        compare("input-bound: 1600x1200 sources, handreid-tiny at 64", large, "handreid-tiny", options)
        if not gpu:
            small = make_photos(folder, options.images, (64, 64), options.source)
            compare("compute-bound: 64 px sources, handreid-tiny at 64", small, "handreid-tiny", options)
        peak = matmul_peak() if gpu else 0.0
        print(f"bfloat16 matmul {MATMUL}^3: {f'{peak / 1e12:.0f} TFLOP/s' if gpu else 'not measured'}\n")
        for model in FORWARD_GFLOP:
            title = f"compute-bound: 224 px sources, {model} at 224 on a GPU"
            if gpu:
                small = make_photos(folder, options.images, (224, 224), options.source)
                speed, run_time = compare(title, small, model, options)
                share = speed * 3e9 * FORWARD_GFLOP[model] / peak
                print(f"{model}: {share:.1%} of the matmul peak; {EPOCHS} epochs of 890 images {run_time:.1f} s\n")
            else:
                print(f"{title}: not measured\n")


def decoding(photos: Path, folder: Path, rounds: int, size: int) -> None:
    """The one-time cost: every photo to `size` pixels on all cores, ours and with PIL's full decode."""
    split = prepare(configuration(photos, "handreid-tiny", argparse.Namespace(device="cpu", threads=1))).split
    paths = [photos / image.path for image in split.images]
    turn = 0

    def ours() -> float:
        nonlocal turn
        turn += 1
        return seconds(lambda: load_pixels(photos, split.images, Resize(size), folder / f"decoded-{turn}"))

    def full() -> float:
        def one(path: Path) -> None:
            with Image.open(path) as image:
                image.convert("RGB").resize((size, size), Image.Resampling.BICUBIC)

        with ThreadPoolExecutor(os.cpu_count()) as pool:
            return seconds(lambda: list(pool.map(one, paths)))

    times = interleaved({"ours": ours, "full": full}, rounds)
    speed = {name: len(paths) / statistics.median(each) for name, each in times.items()}
    print(f"decode once, 1600x1200 to {size} px on all cores: ours {speed['ours']:.0f} images/s, PIL's full decode")
    print(f"{speed['full']:.0f}; ratio {ratio(times['ours'], times['full'])}\n")


def compare(title: str, photos: Path, model: str, options: argparse.Namespace) -> tuple[float, float]:
    """Print the table of one case; returns our images/s and, on a GPU, the seconds of a whole run's steps."""
    config = configuration(photos, model, options)
    ours = OurLoop(prepare(config), photos.parent / run_files.EVENTS)
    plain = {
        f"plain, {'AMP' if amp else 'float32'}": PlainLoop(prepare(config), options.workers, amp)
        for amp in (False, True)
    }
    loops: dict[str, OurLoop | PlainLoop] = {"ours": ours, **plain}
    methods: dict[str, Callable[[], float]] = {}
    for name, loop in loops.items():
        loop.train(3)  # warm-up: kernels are chosen, workers started, memory allocated
        loop.train_ready(3)
        methods[name] = lambda loop=loop: timed(loop.train, options.steps, ours.device)
        methods[f"{name}, ready"] = lambda loop=loop: timed(loop.train_ready, options.steps, ours.device)
    times = interleaved(methods, options.rounds)
    compute = str(ours.device.compute).removeprefix("torch.")
    print(f"{title}; ours in {compute}; threads of each: {torch.get_num_threads()}")
    print(f"{'':<16}{'images/s':>10}{'time / ours':>22}{'share of time spent on input':>32}")
    for name in loops:
        speed = options.steps * 64 / statistics.median(times[name])
        pairs = zip(times[name], times[f"{name}, ready"], strict=True)
        waiting = statistics.median(max(0.0, 1 - ready / whole) for whole, ready in pairs)
        print(f"{name:<16}{speed:>10.0f}{ratio(times['ours'], times[name]):>22}{waiting:>32.0%}", flush=True)
    print()
    run_time = timed(ours.train, EPOCHS * EPOCH_STEPS, ours.device) if options.device == "cuda" else 0.0
    return options.steps * 64 / statistics.median(times["ours"]), run_time


def configuration(photos: Path, model: str, options: argparse.Namespace) -> RunConfig:
    settings = {
        "data.source": str(photos), "model.name": model, "model.pretrained": "none", "device": options.device,
        "train.compile": getattr(options, "compile", False),
        "augment.flip": 0.5, "augment.pad": 10, "augment.erase": 0.5, "augment.jitter": 0.0, "augment.rotate": 0.0,
        "augment.zoom": 0.0,
    }  # fmt: skip
    return resolve("ce_triplet", **settings, **({"threads": options.threads} if options.threads else {}))


class OurLoop:
    """The steps of engine/train.py on one process, events included."""

    def __init__(self, setup: TrainingSetup, events: Path) -> None:
        self.setup, self.device, self.step = setup, setup.device, 0
        self.meter = Meter(EventWriter(events), list(setup.config.loss), 64, setup.sampler.steps_per_epoch)
        self.ready: tuple[torch.Tensor, torch.Tensor] | None = None
        self.encode = Workers().wrap(setup.model.encoder, setup.config.train.compile)
        setup.model.train()

    def train(self, steps: int) -> None:
        for _ in range(steps):
            self._step(*self.setup.batch(self.step))
        self.meter.flush()

    def train_ready(self, steps: int) -> None:
        """The same steps on one batch that lies on the device, augmented: what is left when input costs nothing."""
        self.ready = self.ready or self.setup.batch(self.step)
        for _ in range(steps):
            self._step(*self.ready)
        self.meter.flush()

    def _step(self, images: torch.Tensor, target: torch.Tensor) -> None:
        setup = self.setup
        factor = rate_factor(setup.config.train, self.step, setup.sampler.steps_per_epoch)
        setup.optimizers.set_rates(factor)
        torch.backends.cuda.matmul.allow_tf32 = True  # as open_device sets it; the plain loop takes it back
        with setup.device.precision():
            encoded = self.encode(images)
        loss = setup.objective(setup.model.through_necks(encoded), target)
        loss.total.backward()
        setup.optimizers.step(setup.config.train.clip_norm)
        self.meter.add(self.step, loss, setup.config.train.lr * factor)
        self.step += 1


def matmul_peak() -> float:
    """FLOP/s of a square bfloat16 product: the best of five rounds of twenty."""
    a, b = (torch.randn(MATMUL, MATMUL, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    times = []
    for _ in range(6):
        torch.cuda.synchronize()
        start = time.perf_counter()
        for _ in range(20):
            a @ b
        torch.cuda.synchronize()
        times.append((time.perf_counter() - start) / 20)
    return 2 * MATMUL**3 / min(times[1:])


def synchronise(device: Device) -> None:
    if device.torch.type == "cuda":
        torch.cuda.synchronize(device.torch)


def timed(train: Callable[[int], None], steps: int, device: Device) -> float:
    synchronise(device)

    def work() -> None:
        train(steps)
        synchronise(device)

    return seconds(work)


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
