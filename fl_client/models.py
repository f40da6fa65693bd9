"""Approved model versions, brought from the coordinator to this hospital."""

from core.errors import ConnectionProblem
from core.progress import Report, silent
from core.records.registry import approved_versions, install_retirement, install_version
from core.signing import load_public
from core.site_protocol import PublishedVersion
from fl_client.coordinator import Coordinator
from fl_client.paths import SiteHome
from fl_client.site_records import SiteRecords


def pull_models(coordinator: Coordinator, records: SiteRecords, home: SiteHome, report: Report = silent) -> list[str]:
    """Bring every approved version that is not here yet, and retire those that the coordinator has retired.

    Hash and signature are checked before anything is kept.

    Args:
        coordinator: as this site reaches it.
        records: this site's.
        home: holds the coordinator's public key and the registry.
        report: told after each version.
    Returns: names of the versions that are new here, oldest first.
    Raises:
        RegistryError: a version does not hold; those before it are kept.
        ConnectionProblem: a file came with another size than was told.
    """
    trusted = load_public(home.coordinator_key)
    here = set(approved_versions(home.registry, trusted))
    models = coordinator.models()
    for name in sorted(here & set(models.retired)):
        install_retirement(home.registry, name, coordinator.model_file(name, "approval.json"), trusted)
        records.append("it", "version.retired", version=name)
    missing = [version for version in models.versions if version.name not in here]
    for done, version in enumerate(missing, start=1):
        install_version(home.registry, version.name, _files_of(coordinator, version), trusted)
        records.append("it", "version.pulled", version=version.name)
        report("models", done, len(missing))
    return [version.name for version in missing]


def _files_of(coordinator: Coordinator, version: PublishedVersion) -> dict[str, bytes]:
    files = {name: coordinator.model_file(version.name, name) for name in sorted(version.files)}
    for name, content in files.items():
        if len(content) != version.files[name]:
            raise ConnectionProblem(
                f"Of {version.name} {len(content)} bytes of {name} arrived instead of {version.files[name]}",
                fix="pull again; if it stays, something on the way cuts transfers",
            )
    return files
