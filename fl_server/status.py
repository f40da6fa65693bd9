"""A coordinator's view as tables for the terminal."""

from rich.console import Group, RenderableType
from rich.table import Column, Table

from core.clock import moment_of, span
from core.records.cost_views import RunCost
from core.records.status import RunView, SiteView, Status


def shown(status: Status) -> RenderableType:
    """Return a status as tables for the terminal, 80 columns wide or more."""
    sites = Table("site", "now", "up / down", "training", "what is wrong", title="Sites", title_justify="left")
    for site in status.sites:
        sites.add_row(site.site, *_site_cells(site))
    # Names are copied from here: they are never cut.
    runs = Table(
        Column("run, model version", no_wrap=True),
        "state",
        "rounds",
        "newest round",
        "loss",
        "AUC",
        title="Runs",
        title_justify="left",
    )
    for run in status.runs:
        runs.add_row(f"{run.run}\n{run.version or ''}".strip(), *_run_cells(run))
    down = [state["name"] for state in status.processes if state["pid"] is None]
    if not status.processes:
        head = "The coordinator is not started: `fl-server start`."
    else:
        head = f"Being started again: {', '.join(down)}." if down else "The coordinator runs."
    return Group(head, sites, runs)


def _site_cells(site: SiteView) -> list[str]:
    now = [site.doing]
    if site.run and site.doing in ("training", "evaluating", "uploading"):
        now.append(f"{site.run}, round {site.round}")
        if site.progress[1]:
            now.append("{} of {} steps".format(*site.progress))
            if site.progress_age_s is not None:
                now.append(f"last step {span(site.progress_age_s)} ago")
        if site.expected_end:
            now.append(f"until {moment_of(site.expected_end).astimezone():%H:%M:%S}")
    return [
        "\n".join(now),
        f"{site.sent_bytes / 1e6:.1f} / {site.received_bytes / 1e6:.1f} MB",
        " ".join(f"{span(seconds)} {kind}" for seconds, kind in ((site.cpu_s, "CPU"), (site.gpu_s, "GPU")) if seconds),
        site.cause,
    ]


def _cost_lines(cost: RunCost) -> list[str]:
    """Say what a run has cost, of what it may cost, and what it will come to, where there is something to say."""
    lines = []
    for has, total, unit, budget, projected in (
        (cost.is_priced, cost.total, cost.currency, cost.budget, cost.projected),
        (float(cost.gpu_hours) > 0, cost.gpu_hours, "GPU h", cost.budget_gpu_hours, cost.projected_gpu_hours),
    ):
        if has or budget:
            of = f" of {budget}" if budget else ""
            lines.append(f"{total}{of} {unit}" + (f", {projected} in all" if projected else ""))
    return lines


def _run_cells(run: RunView) -> list[str]:
    state = (
        "finished, but not by all sites in every round" if run.state == "finished" and not run.complete else run.state
    )
    about = [state, *(f"{site}: {answer}" for site, answer in run.answers.items() if not answer.startswith("approved"))]
    about += [run.cause] if run.cause else []
    last = run.rounds[-1] if run.rounds else None
    newest = [f"round {last['round']}, {len(last['sites'])} sites, {last['seconds']:.1f} s"] if last else []
    newest += [f"without {site}: {why}" for site, why in last["left_out"].items()] if last else []
    scores = [f"{last[name]:.3f}" if last and last[name] is not None else "" for name in ("loss", "auc")]
    about += _cost_lines(run.cost) if run.cost else []
    counted = sum(one["counted"] for one in run.rounds)
    return ["\n".join(about), str(counted), "\n".join(newest), *scores]
