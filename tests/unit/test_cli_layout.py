"""How text is fitted to a terminal: cut, wrapped, and in colours that can be read."""

from __future__ import annotations

import io

import pytest
from rich.cells import cell_len
from rich.color import Color
from rich.console import Console
from rich.text import Text

from redisflow.cli import console as consoles
from redisflow.cli import states
from redisflow.cli.drawing import FILLS
from redisflow.cli.layout import print_parts, print_table, print_wrapped, shortened
from redisflow.cli.terminal import PIPED_WIDTH

NAMES = (
    "pay",
    "shop.flows.orders.ReserveTheGoodsOfAnOrder-17",
    "acme.warehouse.synchronisation.FetchStockLevelsFromEveryDistributionCentre-4",
    "在庫を確保する在庫を確保する在庫を確保する在庫を確保する在庫を確保する",
    "e\u0301clair",
)
WIDTHS = (40, 80, 140)

#: Least contrast of colours: large text's by WCAG, and a bit.
_LEAST = 3.8


def console(width: int) -> Console:
    """Make a console whose output is kept."""
    piped = width == PIPED_WIDTH
    return Console(file=io.StringIO(), width=width, color_system=None, soft_wrap=piped)


def lines(console: Console) -> list[str]:
    """Give what was printed."""
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue().splitlines()


@pytest.mark.parametrize("name", NAMES)
def test_names_are_cut_in_the_middle(name):
    """Never wider than asked for; beginning and end stay; what fits is as it is."""
    for cells in range(4, 90):
        cut = shortened(name, cells)
        assert cell_len(cut) <= cells
        if cell_len(name) <= cells:
            assert cut == name
        else:
            head, _, tail = cut.partition("…")
            assert name.startswith(head)
            assert name.endswith(tail)
            assert cell_len(tail) >= cell_len(head)
            assert cell_len(cut) >= cells - 2  # a wide letter more would be too much


def rows(names=NAMES):
    """Make the rows of a table."""
    return [
        {
            "UUID": f"{number:08}",
            "ATOM": Text(name),
            "STATE": Text("REVERT_FAILURE", consoles.BAD),
            "TIME": f"{number},000.0s",
            "WAITS FOR": Text(", ".join(names)),
        }
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_tables_fit_and_columns_stand_below_each_other(width):
    """No line is wider; states and figures are whole; columns begin at one place."""
    out = console(width)
    print_table(out, rows(), numeric=("TIME",), whole=("STATE",), spare=("UUID",))
    heads, *body = lines(out)
    assert max(map(cell_len, [heads, *body])) <= width
    assert len(body) == len(NAMES)
    assert all("REVERT_FAILURE" in line for line in body)
    assert ("UUID" in heads) is (width > 60)
    places = {cell_len(line.partition("REVERT")[0]) for line in body}
    assert places == {heads.index("STATE")}
    if width >= 80:
        ends = {cell_len(line.partition("0s")[0]) + 2 for line in body}
        assert ends == {heads.index("TIME") + len("TIME")}


def test_tables_in_pipes_are_never_cut():
    """Whatever the width, all of each cell is there."""
    out = console(PIPED_WIDTH)
    print_table(out, rows(), numeric=("TIME",))
    body = lines(out)[1:]
    assert all(name in line for name, line in zip(NAMES, body, strict=True))


def test_columns_that_say_nothing_are_left_out():
    """Those all of whose values are dull; one value that is not keeps them."""
    for owner, shown in (("-", False), ("4711", True)):
        out = console(80)
        table = [{"ATOM": "a", "OWNER": "-"}, {"ATOM": "b", "OWNER": owner}]
        print_table(out, table, dull={"OWNER": ("-",)})
        assert ("OWNER" in lines(out)[0]) is shown


@pytest.mark.parametrize("width", WIDTHS)
def test_sentences_are_wrapped_between_words(width):
    """No word is broken that fits; later lines are indented; nothing is lost."""
    text = "the last answer of 漢字 was: " + "upstream connect error " * 9
    out = console(width)
    print_wrapped(out, Text(text.strip()), indent=4)
    first, *others = lines(out)
    assert cell_len(first) > width - 12
    assert all(line.startswith("    ") and line[4] != " " for line in others)
    assert max(map(cell_len, [first, *others])) <= width
    assert " ".join(" ".join([first, *others]).split()) == text.strip()
    piped = console(PIPED_WIDTH)
    print_wrapped(piped, Text(text.strip()), indent=4)
    assert lines(piped) == [text.strip()]


@pytest.mark.parametrize("width", WIDTHS)
def test_parts_are_broken_between(width):
    """A line ends between two parts, or is wrapped where a part is too long itself."""
    parts = ["flow " + "warehouse " * 5 + "nightly", "RUNNING", "run 1", "rev 4,711"]
    out = console(width)
    print_parts(out, parts)
    text = "\n".join(lines(out))
    assert all(part in text for part in parts[1:])
    assert all(line.startswith("  ") for line in lines(out)[1:])
    assert max(map(cell_len, lines(out))) <= width
    assert text.split() == "  ".join(parts).split()


def _luminance(colour: str) -> float:
    def linear(part: int) -> float:
        share = part / 255
        return share / 12.92 if share <= 0.04045 else ((share + 0.055) / 1.055) ** 2.4

    red, green, blue = map(linear, Color.parse(colour).get_truecolor())
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def _contrast(one: str, other: str) -> float:
    dark, light = sorted(map(_luminance, (one, other)))
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read_on_light_and_dark():
    """All that are used contrast with white and with black alike."""
    theme = consoles._THEME.styles
    used = {*states.COLOURS.values()} | {
        style.color.name
        for name, style in theme.items()
        if style.color is not None and name.split(".")[0] in ("repr", "bar", "status")
    } - {"default"}
    assert len(used) >= 5
    for colour in used:
        for background in ("#ffffff", "#000000"):
            assert _contrast(colour, background) >= _LEAST, colour


def test_pictures_can_be_read():
    """Labels contrast with what fills their boxes."""
    for fill, _border in FILLS.values():
        assert _contrast(fill, "#000000") >= 7


def test_counts_stay_where_they_are():
    """The order of states does not follow the numbers."""
    counts = {"PENDING": 90, "SUCCESS": 3, "RUNNING": 4, "FAILURE": 1}
    text = states.counts_text(counts).plain
    assert text == "RUNNING 4  FAILURE 1  SUCCESS 3  PENDING 90"
