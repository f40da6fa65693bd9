"""CPU seconds that preparing one case takes, by step.

    python -m bench.preprocessing                       # one synthetic patient, coarse and full-size, of each scanner
    python -m bench.preprocessing --case CASE [--grid 96]

One thread; the seconds of a step include the steps it calls. A first case is prepared unseen, for what is loaded once.
"""

import argparse
import cProfile
import pstats
import tempfile
import time
from pathlib import Path

from core.imaging import normalization, preprocessing, registration, skull_stripping
from core.imaging.preprocessing import prepare_case
from core.imaging.reading import read_case
from core.study import PreprocessingSettings
from simulations.hospitals import site_names, write_cohort

STEPS = {
    "copies": preprocessing.working_copy,
    "co-register": registration.rigid,
    "stripped?": skull_stripping.is_stripped,
    "brain": skull_stripping.brain_probability,
    "atlas": registration.affine_to_atlas,
    "gate": skull_stripping.gate_by_atlas,
    "resample": preprocessing._resampled,
    "normalize": normalization.normalize,
    "prepare": prepare_case,
}
COLUMNS = ("read", *STEPS)


def seconds_by_step(case: Path, settings: PreprocessingSettings) -> dict[str, float]:
    """Read and prepare a case, and return the CPU seconds spent within each step."""
    start = time.process_time()
    volumes = read_case(case).volumes
    reading = time.process_time() - start
    profile = cProfile.Profile(time.process_time)
    profile.runcall(prepare_case, volumes, settings)
    spent = {
        (Path(file).name, name): cumulative
        for (file, _, name), (_, _, _, cumulative, _) in pstats.Stats(profile).stats.items()  # type: ignore[attr-defined]
    }
    # A context manager used as decorator shows up as its wrapper: the code's own name is that of the wrapped function.
    codes = {step: getattr(function, "__wrapped__", function).__code__ for step, function in STEPS.items()}
    inner = {step: spent.get((Path(code.co_filename).name, code.co_name), 0.0) for step, code in codes.items()}
    return {"read": reading, **inner}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--case", type=Path, help="a folder of four sequences instead of synthetic patients")
    parser.add_argument("--sites", type=int, default=4, help="scanners to take a synthetic patient from")
    parser.add_argument("--grid", type=int, default=48)
    options = parser.parse_args()
    settings = PreprocessingSettings(grid=options.grid)
    with tempfile.TemporaryDirectory() as folder:
        cases = {"given": options.case} if options.case else _synthetic(Path(folder), options.sites)
        seconds_by_step(next(iter(cases.values())), settings)
        print(f"{'CPU s':16}" + "".join(f"{step:>12}" for step in COLUMNS))
        for name, case in cases.items():
            spent = seconds_by_step(case, settings)
            print(f"{name:16}" + "".join(f"{spent[step]:12.2f}" for step in COLUMNS), flush=True)


def _synthetic(folder: Path, sites: int) -> dict[str, Path]:
    """Write one patient of each scanner, coarse and full-size, and return their folders by name."""
    cases = {}
    for size in ("coarse", "full"):
        write_cohort(folder / size, site_names(sites), patients=1, seed=7, coarse=size == "coarse")
        for site in site_names(sites):
            cases[f"{size} {site}"] = next((folder / size / site / "train").iterdir())
    return cases


if __name__ == "__main__":
    main()
