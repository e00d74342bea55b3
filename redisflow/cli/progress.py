"""How far a run is: a live picture on a terminal, lines elsewhere.

The picture has one row for each atom at work, as many as the terminal has room for,
and totals; so it is the same for ten atoms and for ten thousand. What workers print
goes into a file without a name, from where it is shown above the picture. (Not into a
pipe: if this program is killed, a worker that goes on must still be able to print.)

Elsewhere there is a line for each state in which an atom is seen; with many atoms only
failures and, every few seconds, totals. Workers print to standard error directly.
"""

from __future__ import annotations

import fcntl
import os
import sys
import tempfile
from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from time import monotonic
from types import TracebackType
from typing import Protocol

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from redisflow.arguments import INJECTOR
from redisflow.cli.console import console_on
from redisflow.cli.layout import print_wrapped, shortened
from redisflow.cli.states import AT_WORK, FAILED, counts_text, state_text
from redisflow.cli.terminal import is_terminal
from redisflow.looking.atoms import progress_of, seconds_taken, state_of
from redisflow.looking.clock import ServerClock
from redisflow.looking.texts import duration, printable, worker_text
from redisflow.persistence.records import META_RUN_ID, AtomRecord
from redisflow.storage import Mirror

#: With more atoms than this, lines tell totals instead of every state.
MANY_ATOMS = 200

_TOTALS_EVERY_S = 2.0
_NOT_DONE = (*AT_WORK, "PENDING")
#: States of a flow in which atoms begin; those of ends are told after the atoms'.
_BEGINNINGS = ("PENDING", "RESUMING", "RUNNING")
#: Beyond this, what was shown of the workers' output is cut off its file.
_OUTPUT_BYTES = 64 * 2**20
_CHUNK_BYTES = 2**20
#: What a row of the picture needs beside the names of atom and worker.
_BESIDE_NAME = 38
_LEAST_NAME = 8


class Progress(Protocol):
    """Shows a run while it lasts; ``with`` ends it.

    Attributes:
        output: where the workers print.
    """

    output: int

    def __enter__(self) -> Progress:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Leave the terminal as it was."""

    def opening(self, run_id: str) -> AbstractContextManager[object]:
        """Show, inside ``with``, that a run is being opened; it leaves no trace."""

    def begin(self, title: str, clock: ServerClock, mirror: Mirror) -> None:
        """Take the run's title, the clock that its times are by, and how it stands."""

    def note(self, text: str) -> None:
        """Tell something in a line that stays."""

    def show(self, mirror: Mirror) -> None:
        """Show what has changed."""


def make_progress() -> Progress:
    """Make what suits standard error."""
    return Picture() if is_terminal(sys.stderr) else Lines()


def counts_of(mirror: Mirror) -> Counter[str]:
    """Count the atoms in each state."""
    return Counter(state_of(atom) for atom in atoms_of(mirror))


def atoms_of(mirror: Mirror) -> list[AtomRecord]:
    """Give the atoms of a flow, without the one that holds injected values."""
    with mirror.lock:
        return [atom for atom in mirror.atoms.values() if atom.name != INJECTOR]


class Lines:
    """Progress for files and pipes: plain lines, no control codes."""

    def __init__(self) -> None:
        self.output = sys.stderr.fileno()
        self._clock: ServerClock | None = None
        self._began = monotonic()
        self._states: dict[str, str] = {}
        self._flow_state = ""
        self._totals = ""
        self._next_totals = 0.0

    def __enter__(self) -> Lines:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        sys.stderr.flush()

    def opening(self, run_id: str) -> AbstractContextManager[object]:
        """Show nothing: it would be a second line beside an error."""
        return nullcontext()

    def begin(self, title: str, clock: ServerClock, mirror: Mirror) -> None:
        """Tell the title; lines are of what changes from now on."""
        self._clock = clock
        self._flow_state = str(mirror.flow_detail.state or "PENDING")
        self._states = {atom.name: state_of(atom) for atom in atoms_of(mirror)}
        self.note(title)

    def note(self, text: str) -> None:
        """Write a line."""
        sys.stderr.write(f"redisflow: {printable(text)}\n")
        sys.stderr.flush()

    def show(self, mirror: Mirror) -> None:
        """Write what has changed."""
        state = str(mirror.flow_detail.state or "PENDING")
        if state in _BEGINNINGS:
            self._tell_flow(mirror, state)
        self._tell_atoms(mirror)
        self._tell_flow(mirror, state)
        sys.stderr.flush()

    def _tell_flow(self, mirror: Mirror, state: str) -> None:
        if state != self._flow_state:
            self._flow_state = state
            self._line(f"flow {mirror.flow_detail.name} {state}")

    def _tell_atoms(self, mirror: Mirror) -> None:
        atoms = atoms_of(mirror)
        many = len(atoms) > MANY_ATOMS
        changed = [
            atom
            for atom in atoms
            if self._states.get(atom.name, "PENDING") != state_of(atom)
        ]
        for atom in sorted(changed, key=lambda atom: atom.rev):
            state = self._states[atom.name] = state_of(atom)
            if not many or state in FAILED:
                self._line(self._text(atom, state))
        if many and monotonic() >= self._next_totals:
            self._next_totals = monotonic() + _TOTALS_EVERY_S
            totals = counts_text(counts_of(mirror)).plain
            if totals != self._totals:
                self._totals = totals
                self._line(totals)

    def _text(self, atom: AtomRecord, state: str) -> str:
        if state in AT_WORK:
            by = f" (worker {worker_text(atom.owner)})" if atom.owner else ""
            return f"{atom.name} {state}{by}"
        seconds = seconds_taken(atom, self._clock.now_ms() if self._clock else 0)
        took = "" if seconds is None else f" after {duration(seconds)}"
        return f"{atom.name} {state}{took}"

    def _line(self, text: str) -> None:
        elapsed = duration(monotonic() - self._began)
        sys.stderr.write(f"{elapsed:>7}  {printable(text)}\n")


class Picture:
    """Progress for terminals."""

    def __init__(self) -> None:
        self._console = console_on(sys.stderr)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed by __exit__
        self.output = self._file.fileno()
        # Several workers write, and what was shown may be cut off: always at its end.
        fcntl.fcntl(self.output, fcntl.F_SETFL, os.O_APPEND)
        self._shown = 0
        self._live: Live | None = None
        self._clock: ServerClock | None = None
        self._began = monotonic()
        self._name_width = 0

    def __enter__(self) -> Picture:
        self._live = Live(console=self._console, auto_refresh=False, transient=True)
        self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._show_output(everything=True)
        if self._live is not None:
            self._live.stop()
        self._file.close()

    def opening(self, run_id: str) -> AbstractContextManager[object]:
        """Show that something goes on: a large flow takes a while to compile."""
        return self._console.status(f"opening run {printable(run_id)} …")

    def begin(self, title: str, clock: ServerClock, mirror: Mirror) -> None:
        """Write the title, which stays above the picture, and draw the first one."""
        self._clock = clock
        self.note(title)
        self.show(mirror)

    def note(self, text: str) -> None:
        """Write a line above the picture."""
        print_wrapped(self._console, Text(printable(text), style="bold"))

    def show(self, mirror: Mirror) -> None:
        """Draw the picture anew."""
        self._show_output()
        if self._live is not None:
            self._live.update(self._picture(mirror), refresh=True)

    def _picture(self, mirror: Mirror) -> RenderableType:
        atoms = atoms_of(mirror)
        counts = Counter(state_of(atom) for atom in atoms)
        at_work = [atom for atom in atoms if atom.detail.state in AT_WORK]
        at_work.sort(key=lambda atom: (atom.node, atom.name))
        # Below the rows: how many more, the bar, the counts, and the cursor.
        room = max(1, self._console.size.height - 4)
        parts: list[RenderableType] = [self._rows(at_work[:room])]
        if len(at_work) > room:
            parts.append(Text(f"  and {len(at_work) - room:,} more at work", "dim"))
        parts.append(self._bar(counts))
        state = state_text(str(mirror.flow_detail.state or "PENDING"))
        workers = "worker" if mirror.live == 1 else "workers"
        run_id = printable(str(mirror.flow_detail.meta.get(META_RUN_ID, "")))
        line = Text.assemble(
            (f"{run_id:.24}  ", "bold"),
            state,
            f"  {mirror.live} {workers}  ",
            counts_text(counts),
        )
        line.truncate(self._console.width - 1, overflow="ellipsis")
        parts.append(line)
        return Group(*parts)

    def _rows(self, atoms: list[AtomRecord]) -> Table:
        now_ms = self._clock.now_ms() if self._clock else 0
        names = [printable(atom.name) for atom in atoms]
        owners = [worker_text(atom.owner) if atom.owner else "nobody" for atom in atoms]
        beside = _BESIDE_NAME + max(map(cell_len, owners), default=0)
        widest = max(map(cell_len, names), default=0)
        # It never shrinks, so that columns stay where they are.
        room = max(_LEAST_NAME, self._console.width - beside)
        self._name_width = min(room, max(self._name_width, widest, _LEAST_NAME))
        table = Table.grid(padding=(0, 2))
        table.add_column(width=self._name_width, no_wrap=True)
        table.add_column(min_width=9, no_wrap=True)
        table.add_column(min_width=7, justify="right", no_wrap=True)
        table.add_column(min_width=4, justify="right", no_wrap=True)
        table.add_column(min_width=6, justify="right", no_wrap=True)
        for atom, name, owner in zip(atoms, names, owners, strict=True):
            progress = progress_of(atom)
            table.add_row(
                Text(shortened(name, self._name_width)),
                state_text(str(atom.detail.state)),
                Text(printable(owner), "dim"),
                f"{progress:.0%}" if progress else "",
                duration(seconds_taken(atom, now_ms) or 0),
            )
        return table

    def _bar(self, counts: Counter[str]) -> RenderableType:
        total = counts.total()
        if not total:
            return Text("the workers are starting …", style="dim")
        done = total - sum(counts[state] for state in _NOT_DONE)
        numbers = f"{done:,}/{total:,}  {duration(monotonic() - self._began)}"
        width = max(10, min(60, self._console.width - len(numbers) - 3))
        grid = Table.grid(padding=(0, 2))
        grid.add_row(ProgressBar(total=total, completed=done, width=width), numbers)
        return grid

    def _show_output(self, *, everything: bool = False) -> None:
        """Show what the workers have printed, in whole lines."""
        while data := os.pread(self.output, _CHUNK_BYTES, self._shown):
            full = len(data) == _CHUNK_BYTES
            end = data.rfind(b"\n") + 1
            if everything or (full and not end):
                end = len(data)
            if end:
                for line in data[:end].removesuffix(b"\n").split(b"\n"):
                    print_line(self._console, line.decode(errors="replace"))
                self._shown += end
            if not full:
                if self._shown > _OUTPUT_BYTES and end == len(data):
                    os.ftruncate(self.output, 0)
                    self._shown = 0
                return


def print_line(console: Console, line: str) -> None:
    """Print what a worker has printed: its colours stay, all other codes go."""
    text = Text.from_ansi(line.rstrip().rpartition("\r")[2].expandtabs())
    text.plain = printable(text.plain)
    console.print(text, soft_wrap=True)
