"""How much of a plain PyTorch loop's speed a round's training reaches on a GPU or CPU, and what each trick is worth.

    python -m bench.gpu_training [--device cuda] [--preset base] [--grid 96] [--batch 4] [--cases 48] [--turns 3]
    OMP_NUM_THREADS=1 python -m bench.gpu_training --device cpu --preset small --grid 48 --cases 16 --turns 5

All train the same network on the same cases, which lie in the machine's memory, with the same losses, number format and
layout. The plain loop counts nothing and never looks whether a loss is finite; it stacks cases as ours does, steps with
PyTorch's default AdamW, and varies a batch, where it does, as one would write it down: `affine_grid`, `grid_sample`,
`where`. MONAI's engine has MONAI's loader and transforms. All take turns, and ratios are taken turn by turn, of wall
time on a GPU and of CPU time on a CPU, which others may use too. Target: at least 0.9 of the plain loop.
"""

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from math import log, radians
from statistics import median

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.monai_training import monai_epoch
from core.learning.cases import TrainingCase, collate
from core.learning.losses import ClassWeights, Targets, case_losses
from core.learning.model import MAP_STRIDE, GliomaNet, build_model
from core.study import AugmentationSettings, ModelSettings, PreprocessingSettings, Study, TrainingSettings
from fl_client.training import Training, in_full_precision, precision_of

GIB = 2**30


def main() -> None:
    options = _options()
    device = torch.device(options.device)
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        print(f"{properties.name}, {properties.total_memory / GIB:.0f} GiB, torch {torch.__version__}")
    study = _study(options.preset, options.grid, options.batch)
    cases = _cases(options.cases, options.grid)
    print(f"{options.preset}, grid {options.grid}, batch {options.batch}, {precision_of(study, device)}")

    still = _without_augmentation(study)
    ways: dict[str, Callable[[], float]] = {
        "ours": lambda: _ours(study, cases, device),
        "plain loop": lambda: _plain(study, cases, device, varied=True),
        "MONAI": lambda: _monai(study, cases, device, augmented=True),
        "ours, nothing varied": lambda: _ours(still, cases, device),
        "plain loop, nothing varied": lambda: _plain(study, cases, device),
        "MONAI, nothing varied": lambda: _monai(study, cases, device, augmented=False),
    }
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(options.turns + 1):
        for name, speed in ways.items():
            found = speed()
            if turn:  # the first finds the fastest convolutions
                speeds[name].append(found)
    for name, row in speeds.items():
        print(f"{name}: {median(row):.1f} cases/s")
    for one, other in (
        ("ours", "plain loop"),
        ("ours, nothing varied", "plain loop, nothing varied"),
        ("ours", "plain loop, nothing varied"),
        ("ours", "MONAI"),
        ("ours, nothing varied", "MONAI, nothing varied"),
    ):
        ratios = [a / b for a, b in zip(speeds[one], speeds[other], strict=True)]
        print(f"{one} / {other}: {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    if device.type == "cuda":
        _tricks(study, cases, device)
        _memory(options.preset, options.grid, device)


def _ours(study: Study, cases: Sequence[TrainingCase], device: torch.device) -> float:
    training = Training(build_model(study.model, 0), study, ClassWeights(), device)
    training.epoch(cases[: 2 * study.training.batch_size], ("bench", 1, 0), (0.0, 0.1))
    return _speed(lambda: training.epoch(cases, ("bench", 1, 1), (0.1, 0.2)), len(cases), device)


def _plain(
    study: Study,
    cases: Sequence[TrainingCase],
    device: torch.device,
    precision: torch.dtype | None = None,
    layout: torch.memory_format = torch.channels_last_3d,
    change: Callable[[GliomaNet], GliomaNet] = lambda model: model,
    varied: bool = False,
) -> float:
    precision = precision or precision_of(study, device)
    model = build_model(study.model, 0).to(device, memory_format=layout).train()
    run = change(model)
    optimizer = torch.optim.AdamW(model.parameters(), study.training.learning_rate)
    size = study.training.batch_size
    batches = [cases[start : start + size] for start in range(0, len(cases), size)]

    def loop(some: Sequence[Sequence[TrainingCase]]) -> None:
        for batch in some:
            image, targets = collate(batch, device)
            if varied:
                image, targets = _plainly_varied(image, targets, study.augmentation)
            image = image.to(memory_format=layout)
            optimizer.zero_grad()
            with torch.autocast(device.type, precision, enabled=precision != torch.float32):
                output = run(image)
            case_losses(in_full_precision(output), targets, ClassWeights()).total(1.0).mean().backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), study.training.gradient_clip)
            optimizer.step()

    loop(batches[:2])
    return _speed(lambda: loop(batches), len(cases), device)


def _plainly_varied(image: Tensor, targets: Targets, settings: AugmentationSettings) -> tuple[Tensor, Targets]:
    """Vary a batch as ours is varied, in the fewest lines."""

    def drawn(*shape: int) -> Tensor:
        return 2 * torch.rand(len(image), *shape, device=image.device) - 1

    matrix = torch.diag_embed((drawn(3) > 0).float() * 2 - 1) * torch.exp(log(1 + settings.zoom) * drawn(1, 1))
    for axis, angle in enumerate((radians(settings.rotation_degrees) * drawn(3)).unbind(1)):
        turn = torch.eye(3, device=image.device).repeat(len(image), 1, 1)
        one, two = (axis + 1) % 3, (axis + 2) % 3
        turn[:, one, one] = turn[:, two, two] = angle.cos()
        turn[:, one, two], turn[:, two, one] = -angle.sin(), angle.sin()
        matrix = turn @ matrix
    affine = torch.cat([matrix, torch.zeros_like(matrix[:, :, :1])], 2)
    scale, shift = torch.exp(log(1 + settings.intensity_scale) * drawn(4)), settings.intensity_shift * drawn(4)
    image = torch.where(image != 0, image * scale[..., None, None, None] + shift[..., None, None, None], 0.0)
    moved = [
        functional.grid_sample(
            values, functional.affine_grid(affine, list(values.shape), align_corners=False), align_corners=False
        )
        for values in (image, targets.tumor_map)
    ]
    return moved[0], targets._replace(tumor_map=moved[1])


def _monai(study: Study, cases: Sequence[TrainingCase], device: torch.device, augmented: bool) -> float:
    epoch = monai_epoch(study, cases, device, augmented)
    epoch()  # starts its processes
    return _speed(epoch, len(cases), device)


def _speed(work: Callable[[], object], cases: int, device: torch.device) -> float:
    clock = time.perf_counter if device.type == "cuda" else time.process_time
    _wait(device)
    began = clock()
    work()
    _wait(device)
    return cases / (clock() - began)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _tricks(study: Study, cases: Sequence[TrainingCase], device: torch.device) -> None:
    """Print what number formats, memory layout and compilation change, in the plain loop."""
    contiguous = torch.contiguous_format
    rows: list[tuple[str, Callable[[], float]]] = [
        ("float32", lambda: _plain(study, cases, device, torch.float32)),
        ("float32, contiguous", lambda: _plain(study, cases, device, torch.float32, contiguous)),
        ("bfloat16", lambda: _plain(study, cases, device, torch.bfloat16)),
        ("bfloat16, contiguous", lambda: _plain(study, cases, device, torch.bfloat16, contiguous)),
        ("float16", lambda: _plain(study, cases, device, torch.float16)),
        ("bfloat16, compiled", lambda: _plain(study, cases, device, torch.bfloat16, change=torch.compile)),
    ]
    for name, speed in rows:
        try:
            speed()
            print(f"plain loop, {name}: {median(speed() for _ in range(3)):.1f} cases/s")
        except Exception as error:  # noqa: BLE001 (a trick that does not work here is a finding)
            print(f"plain loop, {name}: {type(error).__name__}: {str(error)[:200]}")


def _memory(preset: str, grid: int, device: torch.device) -> None:
    """Print the memory that a training step takes, by batch."""
    for batch in (1, 2, 4, 8, 16):
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        try:
            _ours(_study(preset, grid, batch), _cases(2 * batch, grid), device)
        except torch.cuda.OutOfMemoryError:
            print(f"batch {batch}: more than there is")
            return
        print(f"batch {batch}: {torch.cuda.max_memory_allocated(device) / GIB:.1f} GiB")


def _study(preset: str, grid: int, batch: int) -> Study:
    return Study(
        name="bench",
        model=ModelSettings.model_validate({"preset": preset}),
        preprocessing=PreprocessingSettings(grid=grid),
        training=TrainingSettings(batch_size=batch),
    )


def _without_augmentation(study: Study) -> Study:
    none = AugmentationSettings(flip=False, rotation_degrees=0, zoom=0, intensity_scale=0, intensity_shift=0)
    return study.model_copy(update={"augmentation": none})


def _cases(count: int, grid: int) -> list[TrainingCase]:
    generator = np.random.default_rng(0)
    small = grid // MAP_STRIDE
    return [
        TrainingCase(
            torch.from_numpy(generator.standard_normal((4, grid, grid, grid), np.float32)),
            torch.from_numpy(generator.random((3, small, small, small), np.float32)),
            number % 2,
            1,
        )
        for number in range(count)
    ]


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--preset", default="base")
    parser.add_argument("--grid", type=int, default=96)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--cases", type=int, default=48)
    parser.add_argument("--turns", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
