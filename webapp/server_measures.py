"""What Prometheus collects of every server: what is lacking, disks, its certificates, its log's last verification."""

import shutil
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import GaugeMetricFamily, Metric
from sqlalchemy import Engine

from core.certificates import not_after
from core.clock import moment_of
from core.errors import ConfigError
from webapp.config import WebConfig
from webapp.readiness import readiness
from webapp.verification import last_outcome


def server_measures(engine: Engine, config: WebConfig) -> Iterator[Metric]:
    """Yield what a server knows of itself; nothing here walks the log or looks into a prediction."""
    ready = GaugeMetricFamily("gliofed_ready", "Whether a part is there, as /readyz says", labels=["part"])
    for part, is_there in readiness(engine, config).items():
        ready.add_metric([part], is_there)
    yield ready
    yield from _disks(config)
    yield _certificates(config)
    outcome = last_outcome(config)
    if outcome is not None:
        checked = moment_of(outcome.at).timestamp()
        yield GaugeMetricFamily(
            "gliofed_audit_check_time_seconds", "When the whole audit log was verified last", value=checked
        )
        yield GaugeMetricFamily("gliofed_audit_intact", "Whether the audit log was intact then", value=outcome.intact)


def _disks(config: WebConfig) -> Iterator[Metric]:
    free = GaugeMetricFamily("gliofed_disk_free_bytes", "Room on the disk of a folder", labels=["folder"])
    size = GaugeMetricFamily("gliofed_disk_size_bytes", "Size of the disk of a folder", labels=["folder"])
    folders = {"data": config.data}
    if config.site.serves == "coordinator":  # records, updates on their way and model versions
        folders["home"] = config.home
    for name, folder in folders.items():
        usage = shutil.disk_usage(folder)
        free.add_metric([name], usage.free)
        size.add_metric([name], usage.total)
    yield from (free, size)


def _certificates(config: WebConfig) -> Metric:
    ends = GaugeMetricFamily(
        "gliofed_certificate_end_time_seconds", "When a certificate of this machine ends", labels=["certificate"]
    )
    for name, path in _own(config).items():
        try:
            ends.add_metric([name], moment_of(not_after(path.read_text("ascii"))).timestamp())
        except (OSError, ValueError, ConfigError):
            continue  # not made yet, or damaged: whoever serves with it says so
    return ends


def _own(config: WebConfig) -> dict[str, Path]:
    own = {"web": config.data / "tls" / "certificate.pem"}
    if config.site.serves == "coordinator":
        pki = config.home / "pki"
        own |= {"authority": pki / "ca.crt", "edge": pki / "server.crt", "superlink": pki / "superlink.crt"}
    return own
