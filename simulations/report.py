"""Where studies find the page that every report is written on."""

from core.report import Part, Picture, Table, render

__all__ = ["Part", "Picture", "Table", "render"]
