"""Studies as an honest coordinator bundles them, and cards of them."""

import hashlib
import io
import zipfile
from pathlib import Path

from core.study import Study
from fl_client.known_studies import KnownOffer
from fl_server.bundle import write_bundle
from tests.fl_client.factories_coordinator import ScriptedCoordinator

SHA256 = "ab" * 32


def bundled(folder: Path, study: Study, **further: str) -> tuple[str, bytes]:
    """The text of a study's study.toml and its bundle, with further files if there are to be some."""
    toml = write_bundle(study, folder)
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
        archive.writestr(".info/CONTENT", "client.py,0,0\n")
        for name, text in further.items():
            archive.writestr(name, text)
    return toml, content.getvalue()


def known(toml: str, bundle: bytes, study: str = "glioma", state: str = "pending") -> KnownOffer:
    return KnownOffer(study, state, "", SHA256, "2026-03-04T05:06:07.000000Z", None, toml, bundle)


def offered(coordinator: ScriptedCoordinator, folder: Path, study: Study, **further: str) -> str:
    """Let the coordinator offer a study in an honest bundle, and return the text of its study.toml."""
    toml, bundle = bundled(folder, study, **further)
    coordinator.offer(toml, study.name, bundle_sha256=hashlib.sha256(bundle).hexdigest())
    coordinator.bundles[study.name] = bundle
    return toml
