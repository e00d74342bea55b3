"""Consoles of rich: colours, and when there are none.

Control codes go to terminals only, whatever the environment says of colours; within
terminals ``NO_COLOR`` is honoured, and one with ``TERM=dumb`` gets no codes. What is
piped is never cut to a width. Nobody tells whether a terminal is light or dark: colours
are halfway between.
"""

from __future__ import annotations

from typing import TextIO

from rich.console import Console
from rich.default_styles import DEFAULT_STYLES
from rich.style import Style
from rich.theme import Theme

from redisflow.cli.terminal import PIPED_WIDTH, is_terminal, width_of

#: Colours that contrast with white and with black, about 4 to 1 at the least.
GOOD, BAD, DOUBTFUL, BUSY = "color(28)", "color(160)", "color(130)", "color(30)"
_VIOLET, _GREY = "color(97)", "color(243)"

#: Rich's own colours -> what they are here.
_INSTEAD = {
    "green": GOOD,
    "bright_green": GOOD,
    "red": BAD,
    "bright_red": BAD,
    "yellow": DOUBTFUL,
    "bright_yellow": DOUBTFUL,
    "cyan": BUSY,
    "bright_blue": BUSY,
    "magenta": _VIOLET,
    "bright_magenta": _VIOLET,
}
_THEME = Theme(
    {
        name: style + Style.parse(_INSTEAD[style.color.name])
        for name, style in DEFAULT_STYLES.items()
        if style.color is not None and style.color.name in _INSTEAD
    }
    | {
        "bar.back": Style.parse(_GREY),
        "bar.complete": Style.parse(BUSY),
        "bar.finished": Style.parse(GOOD),
        "bar.pulse": Style.parse(BUSY),
    }
)


class _Console(Console):
    """A console whose reader may go: that is for us to say, and no failure."""

    def on_broken_pipe(self) -> None:
        """Leave it to who prints; rich would end the program with status 1."""
        raise BrokenPipeError


def console_on(stream: TextIO) -> Console:
    """Make a console that writes to a stream."""
    live, width = is_terminal(stream), PIPED_WIDTH
    if stream.isatty():
        # Rich takes 80 for the width of a dumb terminal, whatever it is.
        width = width_of(stream)
    return _Console(
        file=stream,
        force_terminal=live,
        force_jupyter=False,
        color_system="auto" if live else None,
        width=None if live else width,
        markup=False,
        emoji=False,
        highlight=False,
        soft_wrap=width == PIPED_WIDTH,
        theme=_THEME,
    )
