"""The option by which commands write what they do where TensorBoard or MLflow shows it."""

from typing import Annotated

import typer

from simulations.tracking import Tool

Tracking = Annotated[
    list[Tool] | None,
    typer.Option("--tracking", help="Also for TensorBoard or MLflow, under OUT/tracking; may be repeated."),
]
