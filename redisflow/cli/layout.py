"""How text is fitted to the width of a terminal; what is piped is left as it is.

Names are cut in their middle: those of tasks begin alike, with the module, and end with
what tells them apart. Sentences are wrapped between words, and go on further to the
right. A table gives each column what it takes; where that is too much, names give way,
then columns that are spare, then the last ones. States and figures are never cut.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from redisflow.cli.terminal import PIPED_WIDTH

Row = Mapping[str, str | Text]

_BETWEEN = 2
_NARROWEST = 8
_LEAST_ROOM = 20


def shortened(text: str, cells: int) -> str:
    """Cut a text in its middle, if it is wider than so many cells.

    >>> shortened("shop.flows.orders.ReserveGoods", 17)
    'shop.…eserveGoods'
    """
    if cell_len(text) <= cells:
        return text
    head = _beginning(text, max(0, cells - 1) // 3)
    tail = _beginning(text[::-1], max(0, cells - 1) - cell_len(head))[::-1]
    return f"{head}…{tail}"


def _beginning(text: str, cells: int) -> str:
    taken = 0
    for place, char in enumerate(text):
        taken += cell_len(char)
        if taken > cells:
            return text[:place]
    return text


def is_fitted(console: Console) -> bool:
    """Tell whether lines are to fit a width, which they are not in pipes."""
    return console.width < PIPED_WIDTH


def print_wrapped(
    console: Console, text: Text, *, lead: str = "", indent: int = 2
) -> None:
    """Print a sentence after a lead; the lines after its first are indented."""
    if not is_fitted(console) or len(lead) + text.cell_len <= console.width:
        console.print(Text.assemble(lead, text), soft_wrap=True)
        return
    first = text.wrap(console, console.width - len(lead))[0]
    console.print(Text.assemble(lead, first), soft_wrap=True)
    rest = text[len(first) :]
    rest = rest[len(rest.plain) - len(rest.plain.lstrip()) :]
    for line in rest.wrap(console, max(_LEAST_ROOM, console.width - indent)):
        console.print(Text.assemble(" " * indent, line), soft_wrap=True)


def print_parts(console: Console, parts: Iterable[str | Text]) -> None:
    """Print parts that stand beside each other; a line is broken between them."""
    line = Text()
    for part in parts:
        text = Text(part) if isinstance(part, str) else part
        width = line.cell_len + _BETWEEN + text.cell_len
        if line and is_fitted(console) and width > console.width:
            print_wrapped(console, line)
            line = Text(" " * _BETWEEN)
        elif line:
            line.append(" " * _BETWEEN)
        line.append_text(text)
    print_wrapped(console, line)


def print_table(
    console: Console,
    rows: Sequence[Row],
    *,
    numeric: Sequence[str] = (),
    dull: Mapping[str, Sequence[str]] | None = None,
    whole: Sequence[str] = (),
    spare: Sequence[str] = (),
) -> None:
    """Print a table of rows that all have the same columns.

    Args:
        console: where to.
        rows: column -> what stands there; at least one row.
        numeric: columns that are aligned to the right, and never cut.
        dull: column -> values that say nothing: the column is left out if there is
            no other.
        whole: further columns that are never cut.
        spare: columns that are left out first, in this order, if there is no room.
    """
    silent = dull or {}
    widths = {
        name: max(cell_len(name), *(cell_len(str(row[name])) for row in rows))
        for name in rows[0]
        if {str(row[name]) for row in rows} - {*silent.get(name, ())}
        or name not in silent
    }
    if is_fitted(console):
        widths = _fitted(widths, console.width, kept={*numeric, *whole}, spare=spare)
    head: Row = {name: Text(name, "bold") for name in widths}
    for row in (head, *rows):
        line = Text()
        for place, (name, width) in enumerate(widths.items()):
            line.append(" " * _BETWEEN if place else "")
            line.append_text(_cell(row[name], width, right=name in numeric))
        line.rstrip()
        console.print(line, soft_wrap=True)


def _cell(cell: str | Text, width: int, *, right: bool) -> Text:
    text = Text(cell) if isinstance(cell, str) else cell
    plain = shortened(text.plain, width)
    room = " " * (width - cell_len(plain))
    styled = (plain, text.style)
    return Text.assemble(room, styled) if right else Text.assemble(styled, room)


def _fitted(
    widths: Mapping[str, int], room: int, *, kept: set[str], spare: Sequence[str]
) -> dict[str, int]:
    """Make columns narrower, the widest first, or leave some out."""
    found = dict(widths)
    least = {
        name: width if name in kept else min(width, max(len(name), _NARROWEST))
        for name, width in widths.items()
    }
    goes = [*(name for name in spare if name in found), *reversed(found)]
    while _total(least.values()) > room and len(least) > 1:
        least.pop(goes.pop(0), None)
    found = {name: found[name] for name in least}
    while _total(found.values()) > room:
        giving = [name for name in found if found[name] > least[name]]
        if not giving:
            break
        found[max(giving, key=found.__getitem__)] -= 1
    return found


def _total(widths: Iterable[int]) -> int:
    each = list(widths)
    return sum(each) + _BETWEEN * (len(each) - 1)
