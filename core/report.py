"""One self-contained HTML page that a person would rather look at than read logs."""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #222; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; }
table { border-collapse: collapse; margin: 1rem 0; } td, th { padding: .3rem .8rem; text-align: right; }
th { border-bottom: 2px solid #222; } td { border-bottom: 1px solid #ddd; }
td:first-child, th:first-child { text-align: left; } tr.strong td { font-weight: 600; }
table.words td, table.words th { text-align: left; vertical-align: top; }
img { max-width: 100%; } figure { margin: 1rem 0; } figcaption { color: #555; font-size: .9rem; }
.honest { border-left: 4px solid #E69F00; padding: .4rem 1rem; background: #fdf6e7; }
"""


@dataclass(frozen=True)
class Picture:
    """A PNG with the sentence under it, which also describes it to those who cannot see it."""

    png: bytes
    caption: str


@dataclass(frozen=True)
class Table:
    """Rows of text; the rows named in `strong` stand out, and `words` are set to the left, as numbers are not."""

    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    strong: frozenset[int] = frozenset()
    words: bool = False


@dataclass(frozen=True)
class Part:
    """A heading with what stands under it."""

    title: str
    content: Sequence[str | Picture | Table]


def render(title: str, warning: str, parts: Sequence[Part]) -> str:
    """Return the page: no script, no link, every picture inside.

    Args:
        title: the page's name.
        warning: what the reader must know before believing any number.
        parts: headings with text, tables and pictures.
    """
    body = "\n".join(_part(part) for part in parts)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<h1>{escape(title)}</h1>\n"
        f'<p class="honest">{escape(warning)}</p>\n{body}\n</body>\n</html>\n'
    )


def _part(part: Part) -> str:
    return f"<h2>{escape(part.title)}</h2>\n" + "\n".join(_piece(piece) for piece in part.content)


def _piece(piece: str | Picture | Table) -> str:
    if isinstance(piece, Picture):
        data = base64.b64encode(piece.png).decode()
        caption = escape(piece.caption)
        image = f'<img src="data:image/png;base64,{data}" alt="{caption}">'
        return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"
    if isinstance(piece, Table):
        rows = [_row("th", piece.header, strong=False)]
        rows += [_row("td", row, strong=index in piece.strong) for index, row in enumerate(piece.rows)]
        return f"<table{' class=words' if piece.words else ''}>\n{''.join(rows)}</table>"
    return f"<p>{escape(piece)}</p>"


def _row(cell: str, texts: Sequence[str], *, strong: bool) -> str:
    cells = "".join(f"<{cell}>{escape(text)}</{cell}>" for text in texts)
    return f"<tr{' class=strong' if strong else ''}>{cells}</tr>\n"
