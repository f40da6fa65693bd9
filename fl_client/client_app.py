"""Flower's ClientApp: unpack a task, hand it to the trainer, pack the answer. No error's own text leaves the site."""

import logging
from collections.abc import Callable
from pathlib import Path

from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Error, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from core.config import load_config
from core.errors import ConfigError, FLError
from core.messages import SITE_ERROR, Records, Task, evaluation_records, read_task, update_records
from core.study import Study
from fl_client import trainer
from fl_client.config import SiteConfig

logger = logging.getLogger(__name__)

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer a training task with an update."""
    return _answer(message, context, lambda task, site, study: update_records(trainer.train(task, site, study)))


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Answer an evaluation task with counts."""
    return _answer(message, context, lambda task, site, study: evaluation_records(trainer.evaluate(task, site, study)))


Work = Callable[[Task, SiteConfig, Study], Records]


def _answer(message: Message, context: Context, work: Work) -> Message:
    try:
        site = load_config(SiteConfig, _path(context.node_config, "site-config"))
        # Without this process's variables: every side must read the same study.
        study = load_config(Study, _path(context.run_config, "study"), {})
        return Message(content_of(work(read_task(records_of(message.content)), site, study)), reply_to=message)
    except Exception as error:  # the edge of the site: whatever it is, only its kind may cross
        logger.exception("This site could not answer round %s", message.metadata.group_id)
        return Message(site_error(error), reply_to=message)


def site_error(error: Exception) -> Error:
    """Return what the coordinator is told of an error: a code and the type's name; its text stays in the site's log."""
    code = SITE_ERROR + (error.exit_code if isinstance(error, FLError) else 0)
    return Error(code, type(error).__name__)


def records_of(content: RecordDict) -> Records:
    """Return a task's records as plain numpy and numbers."""
    arrays = {name: array.numpy() for name, array in content.array_records["arrays"].items()}
    config = {
        name: value for name, value in content.config_records["config"].items() if isinstance(value, str | int | float)
    }
    return Records(arrays, config)


def content_of(records: Records) -> RecordDict:
    """Return an answer's records as Flower carries them."""
    return RecordDict(
        {
            "arrays": ArrayRecord({name: Array(array) for name, array in records.arrays.items()}),
            "config": ConfigRecord(dict(records.config)),
            "metrics": MetricRecord(dict(records.metrics)),
        }
    )


def _path(config: dict[str, str | int | float | bool], name: str) -> Path:
    if not config.get(name):
        raise ConfigError(
            f"Flower's configuration lacks {name}", fix=f"start the node with {name}=<path of a TOML file>"
        )
    return Path(str(config[name]))
