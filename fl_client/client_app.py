"""Flower's ClientApp: unpack a task, hand it to the trainer, pack the answer. No error's own text leaves the site.

Flower starts a process for every message, so nothing here may import PyTorch, which the resident trainer has loaded.
"""

import logging
from pathlib import Path

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from core.config import load_config
from core.errors import ConfigError, UpdateRejected
from core.messages import read_task
from core.npy import NPY, npy_array
from core.study import study_of
from fl_client.config import SiteConfig
from fl_client.site_error import SiteError, site_error
from fl_client.trainer_socket import Packed, ask, packed, unpacked

logger = logging.getLogger(__name__)

NodeConfig = dict[str, str | int | float | bool]


def make_client_app(study: Path) -> ClientApp:
    """Return a study's app, which answers its tasks.

    A node's configuration names the socket of this site's trainer as `trainer`; or, where a federation is simulated on
    one machine, the site's settings as `site-config`: then this process itself does what the trainer does.

    Args:
        study: the study.toml that the app was shipped with.
    """
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        return _answer("train", message, context.node_config, study)

    @app.evaluate()
    def evaluate(message: Message, context: Context) -> Message:
        return _answer("evaluate", message, context.node_config, study)

    return app


def _answer(kind: str, message: Message, node: NodeConfig, study: Path) -> Message:
    try:
        # Bytes: reading as text would change line ends, and the site has approved the text as it is.
        text, task = study.read_bytes().decode("utf-8"), packed_of(message.content)
        answer = _work(kind, text, task, node, message.metadata.run_id)
    except Exception as error:  # the edge of the site: whatever it is, only a code may cross
        logger.exception("This site could not answer round %s", message.metadata.group_id)
        answer = site_error(error)
    if isinstance(answer, SiteError):
        return Message(Error(answer.code), reply_to=message)
    return Message(content_of(answer), reply_to=message)


def _work(kind: str, study: str, task: Packed, node: NodeConfig, flower_run: int) -> Packed | SiteError:
    if node.get("trainer"):
        return ask(Path(str(node["trainer"])), kind, study, task, flower_run)
    if not node.get("site-config"):
        raise ConfigError(
            "Flower's node configuration lacks `trainer`", fix="start the node with `fl-client start`, which sets it"
        )
    from fl_client.trainer import answer  # loads PyTorch: only where this process is the trainer

    site = load_config(SiteConfig, Path(str(node["site-config"])))
    return packed(answer(kind, read_task(unpacked(task)), site, study_of(study)))


def packed_of(content: RecordDict) -> Packed:
    """Return a task's records; an array stays the bytes that Flower brought.

    Raises: UpdateRejected: these bytes are in another format than numpy's.
    """
    sent = content.array_records["arrays"]
    if any(array.stype != NPY for array in sent.values()):
        raise UpdateRejected("The task cannot be read: an array is not in numpy's format", fix="tell the coordinator")
    arrays = {name: array.data for name, array in sent.items()}
    config = {
        name: value for name, value in content.config_records["config"].items() if isinstance(value, str | int | float)
    }
    return Packed(arrays, config)


def content_of(answer: Packed) -> RecordDict:
    """Return an answer's records as Flower carries them."""
    return RecordDict(
        {
            "arrays": ArrayRecord({name: _array(file) for name, file in answer.arrays.items()}),
            "config": ConfigRecord(dict(answer.config)),
            "metrics": MetricRecord(dict(answer.metrics)),
        }
    )


def _array(file: bytes) -> Array:
    values = npy_array(file)
    return Array(str(values.dtype), values.shape, NPY, file)
