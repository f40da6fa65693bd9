"""How often a case is called unlike the training data, rightly and wrongly, by how many validation cases there are.

    make demo && python -m bench.likeness demo/prepared --unseen outside
    python -m bench.likeness demo/prepared --unseen outside --also other/prepared/h3 --case prepared.safetensors

The limits are fitted to random validation cases of all sites but the unseen ones; every fault is put into every second
patient of the first unseen site, after preparation. A share is the mean over 20 draws.
"""

import argparse
from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from core.imaging.case import load_case
from core.learning.likeness import BINS, KINDS, PREFIX, SEQUENCES, STATISTICS, Likeness, fit_likeness, statistics_of
from core.messages import Counts

Image = NDArray[np.float32]
Found = dict[str, float]
SIZES = (12, 24, 54)
DRAWS = 20


def images_in(folder: Path) -> Iterator[Image]:
    for path in sorted(folder.glob("*.safetensors")):
        case = load_case(path)
        if not case.quality.reasons:
            yield case.image


def counted(found: Sequence[Found]) -> Counts:
    """Count statistics as core.learning.likeness does."""
    counts: Counts = {}
    for name, (kind, _) in STATISTICS.items():
        values = [one[name] for one in found]
        counts[PREFIX + name] = np.histogram(values, BINS, KINDS[kind][0])[0].astype(float).tolist()
    return counts


def is_unlike(likeness: Likeness, found: Found) -> bool:
    return any(not low <= found[name] <= high for name, (low, high) in likeness.limits.items())


def normalized(channel: Image, brain: NDArray[np.bool_]) -> Image:
    low, high = np.percentile(channel[brain], [0.5, 99.5])
    clipped = channel.clip(low, high)
    return np.where(brain, (clipped - clipped[brain].mean()) / clipped[brain].std(), 0).astype(np.float32)


def faults(image: Image, rng: np.random.Generator) -> Iterator[tuple[str, Image]]:
    """Yield a prepared image with each fault."""
    brain, voxels = (image != 0).any(0), image.shape[-1]
    width = voxels / 24  # of a strong blur, in voxels: a tenth of the brain
    share = ndimage.gaussian_filter(brain.astype(np.float32), width) + 1e-6

    def noise(level: float) -> Image:
        return rng.standard_normal(brain.shape, dtype=np.float32) * np.float32(level)

    def with_one(place: int, channel: Image) -> Image:
        changed = image.copy()
        changed[place] = normalized(channel, brain)
        return changed

    for one, other in combinations(range(4), 2):
        order = list(range(4))
        order[one], order[other] = other, one
        yield f"{SEQUENCES[one]} and {SEQUENCES[other]} swapped", image[order]
        yield "one sequence twice, scaled", with_one(other, image[one] * 1.7)
        yield "one sequence twice, with a little noise", with_one(other, image[one] + noise(0.1))
    for place in range(4):
        yield "one sequence nothing but noise", with_one(place, noise(1))
        yield "noise of 1 deviation in one sequence", with_one(place, image[place] + noise(1))
        yield "noise of 0.5 deviations in one sequence", with_one(place, image[place] + noise(0.5))
        yield "one sequence strongly blurred", with_one(place, ndimage.gaussian_filter(image[place], width) / share)
        yield "one sequence inverted", with_one(place, -image[place])
    yield "noise of 0.5 deviations in all", np.stack([normalized(one + noise(0.5), brain) for one in image])
    yield "an ellipsoid phantom", phantom(voxels, rng)
    yield "upside down", image[:, ::-1]


def phantom(voxels: int, rng: np.random.Generator) -> Image:
    """Return an ellipsoid with a rim and inserts, whose brightness each sequence draws."""
    axes = np.meshgrid(*[np.linspace(-1, 1, voxels)] * 3, indexing="ij")
    radius = np.sqrt(sum((axis / reach) ** 2 for axis, reach in zip(axes, (0.8, 0.9, 0.75), strict=True)))
    inserts = [ndimage.gaussian_filter(rng.standard_normal(radius.shape), voxels / 12) > 0 for _ in range(3)]
    parts = [*inserts, radius > 0.85]
    noise = 0.1 * rng.standard_normal((4, *radius.shape))
    channels = [sum(rng.uniform(-1, 1) * part for part in parts) + noise[number] for number in range(4)]
    return np.stack([normalized(channel.astype(np.float32), radius < 1) for channel in channels])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prepared", type=Path, help="folder with a folder of prepared cases for each site")
    parser.add_argument("--unseen", nargs="+", default=["outside"], help="sites that never train")
    parser.add_argument("--also", nargs="*", type=Path, default=[], help="folders of further prepared cases")
    parser.add_argument("--case", nargs="*", type=Path, default=[], help="single prepared cases")
    options = parser.parse_args()
    training = [
        path for path in sorted(options.prepared.iterdir()) if path.is_dir() and path.name not in options.unseen
    ]
    seen = [statistics_of(image) for path in training for image in images_in(path)]
    asked: dict[str, list[Found]] = defaultdict(list)
    for path in [*(options.prepared / site for site in options.unseen), *options.also]:
        asked[f"usable patients of {path.name}"] = [statistics_of(image) for image in images_in(path)]
    for path in options.case:
        asked[path.stem].append(statistics_of(load_case(path).image))
    rng = np.random.default_rng(0)
    for image in list(images_in(options.prepared / options.unseen[0]))[::2]:
        for name, broken in faults(image, rng):
            asked[name].append(statistics_of(broken))
    shares: dict[str, list[list[float]]] = defaultdict(lambda: [[] for _ in SIZES])
    for column, size in enumerate(SIZES):
        for _ in range(DRAWS):
            order = rng.permutation(len(seen))
            likeness = fit_likeness(counted([seen[index] for index in order[:size]]))
            same = [seen[index] for index in order[size:]]
            for name, cases in {"unseen patients of the same sites": same, **asked}.items():
                shares[name][column] += [np.mean([is_unlike(likeness, one) for one in cases])] if cases else []
    print(f"{'called unlike':42}" + "".join(f"{f'n = {size}':>9}" for size in SIZES))
    for name, columns in shares.items():
        print(f"{name:42}" + "".join(f"{np.mean(column):9.1%}" if column else f"{'':9}" for column in columns))


if __name__ == "__main__":
    main()
