"""A site that trains nothing: what is measured is the way there and back."""

import numpy as np
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    """Answer with weights that no other site has, so that nothing is sent once for all."""
    weights = message.content.array_records["arrays"]["weights"].numpy()
    content = RecordDict(
        {
            "arrays": ArrayRecord({"weights": Array(weights + np.float32(context.node_config["site"]))}),
            "metrics": MetricRecord({"num-examples": 1}),
        }
    )
    return Message(content, reply_to=message)
