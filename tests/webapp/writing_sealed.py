"""A second process that writes and reads sealed values until a line comes on its standard input.

    python -m tests.webapp.writing_sealed DATA DATABASE NUMBER

Prints `writing`, and when it ends how many predictions it has made, numbered from NUMBER on.
"""

import select
import sys
from pathlib import Path

from core.records.db import open_database, reading
from core.records.web_tables import Prediction
from tests.webapp.factories_sealed import NUMBER, a_prediction
from webapp.config import SiteSettings, WebConfig
from webapp.vault import Vault


def main(data: Path, database: str, first: int) -> None:
    """Write, and open what was written before."""
    config = WebConfig(data=data, site=SiteSettings(database=database))
    engine, vault = open_database(database), Vault(config.keys_path)
    sys.stdout.write("writing\n")
    sys.stdout.flush()
    number = before = first
    while not select.select([sys.stdin], [], [], 0.02)[0]:
        identifier = a_prediction(engine, config, vault, number, f"{NUMBER}-{number}")
        with reading(engine) as session:
            row = session.get(Prediction, identifier)
            assert row is not None
            assert row.result_sealed is not None
            vault.open_json(row.result_sealed, f"predictions.result/{identifier}")
        number += 1
    sys.stdout.write(f"{number - before}\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
