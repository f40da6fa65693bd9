"""What one differentially private step costs beside a plain one on the same patients and views.

    python -m bench.private_step [--models small] [--sizes 64 96] [--views 2 1] [--patients 8] [--repeats 3]
                                 [--variants private hooks functorch ew ghost] [--json FILE]

Plain: one pass over all views of all patients, the gradient's norm clipped, a step of AdamW, as fl_client/training.py.
Private: fl_client/differential_privacy.py, one pass a patient over that patient's views, secure noise included.
The others are Opacus's ways to a gradient for each sample, over one batch of all views. As for whoever follows its
documentation, a view is a sample there: they bound views, not patients, and their noise is torch's own, since secure
mode wants a package that current Pythons cannot install.
With one view private costs far more: for a batch of a single small image torch picks its slow convolutions.
Targets with two views: private takes at most 1.3 of plain's CPU seconds and at most 1.2 of its memory.

Each turn of each variant is a process of its own on one thread, and all variants take turns. A step's CPU seconds are
the least of a turn's steps after a first that is not counted; a ratio is the median over repeats of a variant's turn
over the plain one beside it. Memory is the most that a process ever held, imports included, and beside it what the
steps added to the most that it had held before them. Images are random, and a view is a flip: real augmentation costs
all sides the same.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

PLAIN = "plain"
VARIANTS = ("private", "hooks", "functorch", "ew", "ghost")
CPU_TARGET, MEMORY_TARGET = 1.3, 1.2
CLIP, NOISE, RATE = 1.0, 1.0, 1e-3


def main() -> None:
    """Measure each model, size and number of views, in turns, and print a table of each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--models", nargs="+", default=["small"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[64, 96])
    parser.add_argument("--views", nargs="+", type=int, default=[2, 1])
    parser.add_argument("--patients", type=int, default=8)
    parser.add_argument("--steps", type=int, default=3, help="that are timed in each process")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--variants", nargs="*", choices=VARIANTS, default=VARIANTS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        shape = arguments.models[0], arguments.sizes[0], arguments.views[0], arguments.patients, arguments.steps
        print(json.dumps(child(arguments.one, *shape)))
        return
    found = []
    for preset in arguments.models:
        for size in arguments.sizes:
            for views in arguments.views:
                setting = {"model": preset, "size": size, "views": views, "patients": arguments.patients}
                turns = measured(setting, [PLAIN, *arguments.variants], arguments.steps, arguments.repeats)
                found.append({**setting, "variants": turns})
                tell(setting, turns)
    if arguments.json:
        arguments.json.write_text(json.dumps(found, indent=1))


def measured(setting: dict, variants: list[str], steps: int, repeats: int) -> dict[str, list[dict]]:
    """Run each variant once a repeat, each time in another order; one that fails is told of and left out."""
    turns: dict[str, list[dict]] = {variant: [] for variant in variants}
    for repeat in range(repeats):
        for variant in sorted(turns, key=variants.index, reverse=bool(repeat % 2)):
            command = [sys.executable, "-m", "bench.private_step", "--one", variant, "--steps", str(steps)]
            for name in ("models", "sizes", "views", "patients"):
                command += [f"--{name}", str(setting[name if name in setting else name.removesuffix("s")])]
            done = subprocess.run(command, check=False, capture_output=True, text=True)
            if done.returncode:
                print(f"{variant} failed ({done.returncode}): {done.stderr.splitlines()[-1:]}", flush=True)
                del turns[variant]
            else:
                turns[variant].append(json.loads(done.stdout.splitlines()[-1]))
    return turns


def tell(setting: dict, turns: dict[str, list[dict]]) -> None:
    """Print one setting's table, and whether the private step keeps to its targets."""
    title = "{model}, {size}^3, {patients} patients x {views} views".format(**setting)
    print(f"\n{title}: {turns[PLAIN][0]['parameters']} parameters, load {os.getloadavg()[0]:.1f}")
    print("            CPU s    / plain            peak MB  / plain   before MB   added MB  / plain")
    for variant, each in turns.items():
        cpu, low, high = ratio(each, turns[PLAIN], "cpu")
        before, added = (median(one[name] for one in each) for name in ("before", "added"))
        print(
            f"{variant:>9} {median(one['cpu'] for one in each):7.2f} {cpu:8.2f} ({low:.2f} to {high:.2f})"
            f"{median(one['peak'] for one in each):10.0f} {ratio(each, turns[PLAIN], 'peak')[0]:8.2f}"
            f"{before:12.0f}{added:11.0f} {ratio(each, turns[PLAIN], 'added')[0]:8.2f}"
        )
    if "private" in turns:
        noise, step = (median(one[name] for one in turns["private"]) for name in ("noise", "cpu"))
        million = noise / turns[PLAIN][0]["parameters"] * 1e6
        print(
            f"secure noise: {noise:.3f} CPU s a step ({noise / step:.1%} of it), {million:.3f} s a million values",
            flush=True,
        )
        if setting["views"] == 2:
            cpu, memory = (ratio(turns["private"], turns[PLAIN], name)[0] for name in ("cpu", "peak"))
            met = cpu <= CPU_TARGET and memory <= MEMORY_TARGET
            print(f"targets (CPU {CPU_TARGET}, memory {MEMORY_TARGET}): {'met' if met else 'MISSED'}", flush=True)


def ratio(each: list[dict], plain: list[dict], name: str) -> tuple[float, float, float]:
    """Return the median, least and largest of one figure over plain's of the same repeat."""
    ratios = [one[name] / max(other[name], 1e-9) for one, other in zip(each, plain, strict=True)]
    return median(ratios), min(ratios), max(ratios)


# What follows runs in a process of its own. Torch is imported there alone: the most memory that a process has held is
# handed on to those that it starts.


def child(variant: str, preset: str, size: int, views: int, patients: int, steps: int) -> dict[str, float]:
    """Take the steps of one variant and return the CPU seconds of the fastest, MB, and the noise's CPU seconds."""
    import torch

    from core.learning.model import build_model
    from core.study import ModelSettings

    torch.set_num_threads(1)
    model = build_model(ModelSettings(preset=preset), 1).train()
    images = [torch.randn(4, *[size] * 3, generator=torch.Generator().manual_seed(i)) for i in range(patients)]
    loss_of = losses_of(model, [views_of(image, views, bool(i % 2)) for i, image in enumerate(images)])
    make = {PLAIN: plain_step, "private": private_step, "ghost": ghost_step}.get(variant, opacus_step)
    step = make(model, loss_of, patients, views, variant)
    before = peak()
    seconds = [cpu_of(step) for _ in range(1 + steps)][1:]
    answer = {"cpu": min(seconds), "before": before, "peak": peak(), "added": peak() - before}
    answer["parameters"] = sum(values.numel() for values in model.parameters())
    if variant == "private":
        from fl_client.differential_privacy import SecureRandom

        random = SecureRandom()
        answer["noise"] = min(cpu_of(lambda: [random.normal(v.numel()) for v in model.parameters()]) for _ in range(3))
    return answer


def views_of(image, views: int, methylated: bool):
    """Return what makes one patient's views, each as training would get it, when they are needed."""
    import torch

    from core.learning.cases import TrainingCase

    tumor_map = torch.rand(3, *[edge // 4 for edge in image.shape[1:]])
    return lambda: [
        TrainingCase(image.flip(1 + view % 3), tumor_map.flip(1 + view % 3), int(methylated), 1)
        for view in range(views)
    ]


def losses_of(model, patients):
    """Return a function from some patients and a model, or its wrapper, to the loss of each of their views."""
    import torch

    from core.learning.cases import collate
    from core.learning.losses import ClassWeights, case_losses
    from core.study import TrainingSettings

    def of(chosen=slice(None), through=model):
        image, targets = collate([case for make in patients[chosen] for case in make()], torch.device("cpu"))
        return case_losses(through(image), targets, ClassWeights()).total(TrainingSettings().tumor_map_weight)

    return of


def plain_step(model, loss_of, _patients, _views, _variant):
    import torch

    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE)

    def step() -> None:
        optimizer.zero_grad()
        loss_of().mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimizer.step()

    return step


def private_step(model, loss_of, patients, _views, _variant):
    from fl_client.differential_privacy import Mechanism, PrivateGradient, SecureRandom, take_steps

    gradient = PrivateGradient(list(model.parameters()), Mechanism(CLIP, NOISE, 1.0, patients), SecureRandom())
    losses = [lambda i=i: loss_of(slice(i, i + 1)).mean() for i in range(patients)]
    return lambda: take_steps(gradient, losses, 1, lambda _: RATE)


def opacus_step(model, loss_of, patients, views, variant):
    import torch
    from opacus.grad_sample.utils import prepare_module
    from opacus.optimizers import DPOptimizer

    wrapped = prepare_module(model, variant, batch_first=True, loss_reduction="mean")
    optimizer = DPOptimizer(
        torch.optim.SGD(wrapped.parameters(), lr=RATE),
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        expected_batch_size=patients * views,
    )

    def step() -> None:
        optimizer.zero_grad()
        loss_of(through=wrapped).mean().backward()
        optimizer.step()

    return step


def ghost_step(model, loss_of, patients, views, _variant):
    import torch
    from opacus.grad_sample import GradSampleModuleFastGradientClipping
    from opacus.optimizers import DPOptimizerFastGradientClipping
    from opacus.utils.fast_gradient_clipping_utils import DPTensorFastGradientClipping

    wrapped = GradSampleModuleFastGradientClipping(model, max_grad_norm=CLIP)
    optimizer = DPOptimizerFastGradientClipping(
        torch.optim.SGD(wrapped.parameters(), lr=RATE),
        noise_multiplier=NOISE,
        max_grad_norm=CLIP,
        expected_batch_size=patients * views,
    )

    def step() -> None:
        optimizer.zero_grad()
        DPTensorFastGradientClipping(wrapped, optimizer, loss_of(through=wrapped)).backward()
        optimizer.step()

    return step


def cpu_of(work) -> float:
    """Return the CPU seconds that work took."""
    start = time.process_time()
    work()
    return time.process_time() - start


def peak() -> float:
    """Return the most memory that this process has held so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
