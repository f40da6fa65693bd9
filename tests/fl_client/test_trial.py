import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from core.config import load_config
from core.study import ModelSettings, PreprocessingSettings
from fl_client.config import SiteConfig
from fl_client.trial import PARTS, REST, Profile, profiled, spent_by_part
from tests.simulations.factories_federation import make_site


def an_event(name: str, start: float, end: float, worked: float = 0, device: str = "CPU") -> Any:
    return SimpleNamespace(
        name=name,
        time_range=SimpleNamespace(start=start, end=end),
        self_device_time_total=worked,
        device_type=SimpleNamespace(name=device),
    )


def test_a_trace_holds_every_part_of_every_step_and_the_slowest_is_named(tmp_path: Path) -> None:
    site = load_config(SiteConfig, make_site(tmp_path / "site", "site-a", 6), {})
    site = site.model_copy(update={"preprocessing": PreprocessingSettings(grid=16)})
    path = tmp_path / "traces" / "trace.json"
    found = profiled(site, path, ModelSettings(preset="tiny"))
    assert list(found.spent) == [*PARTS, REST]
    assert min(found.spent[part] for part in PARTS) > 0
    trace = json.loads(path.read_text())["traceEvents"]
    recorded = [event["name"] for event in trace if event.get("cat") == "user_annotation"]
    assert {part: recorded.count(part) for part in PARTS} == dict.fromkeys(PARTS, 4)
    lasted = {part: sum(event.get("dur", 0) for event in trace if event["name"] == part) for part in PARTS}
    assert found.slowest == max(lasted, key=lambda part: lasted[part])
    assert found.spent["forward"] == pytest.approx(lasted["forward"] / 4e6, rel=0.01)
    assert [each.name for each in path.parent.iterdir()] == ["trace.json"]


def test_what_is_left_is_no_part_that_could_be_the_slowest() -> None:
    assert Profile(dict.fromkeys(PARTS, 0.1) | {"loss": 0.2, REST: 5.0}).slowest == "loss"


def test_on_a_gpu_its_work_counts_and_not_how_long_it_took_to_ask_for_it() -> None:
    events = [
        an_event("forward", 0, 100),
        an_event("aten::conv3d", 10, 20, worked=4e6),
        an_event("backward", 100, 150),
        an_event("aten::convolution_backward", 120, 140, worked=7e6),
        an_event("kernel", 115, 900, worked=4e6, device="CUDA"),
        an_event("aten::item", 160, 900, worked=1e6),
    ]
    assert spent_by_part(events, on_gpu=True) == dict.fromkeys(PARTS, 0.0) | {"forward": 4.0, "backward": 7.0}
    on_cpu = spent_by_part(events, on_gpu=False)
    assert (on_cpu["forward"], on_cpu["backward"]) == pytest.approx((1e-4, 5e-5))
