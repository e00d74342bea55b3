"""The command line: run a flow with several workers, and look at it.

=============  ===================================================================
`app`          the program, and how it ends; ``commands`` imports each of them when it
               is asked for, ``words`` spells out what was left out of one
`run`          runs a flow; ``interrupts`` suspends it on Ctrl-C
`submit`       leaves a flow to workers, and perhaps waits
`worker`       serves what was submitted
`ls`           lists runs
`show`         shows one: its atoms, its workers, what went wrong
`tree`         shows the flows of a run in each other
`graph`        draws its structure, with ``drawing``
`why`          says what a run, or an atom, waits for
`tail`         follows the journal of a run
`workers`      shows who is alive, and what each holds
`keys`         prints commands that show a run by hand
`locks`        shows who holds locks; breaks one
`control`      ``suspend``, ``resume`` and ``cancel``
`edit`         ``reset`` and ``set-result``
`remove`       ``rm`` and ``gc``
`move`         ``export`` and ``import``
`migrate`      copies logbooks between backends, from and to ``places``
`doctor`       looks for damage
`bench`        measures a server
`server`       runs, and ends, the embedded server
`options`      what several commands take; ``completion`` what shells offer
`acts`         commands that do something with one run or many
`reports`      what commands that read show, once or again and again, as text or JSON
`progress`     how far a run is, while it lasts; ``outcome`` what came of it
`damaged`      tells of runs that cannot be read
`terminal`     where they print; ``console`` in which colours, ``layout`` in which
               width, ``states`` how states look
`problems`     errors: their line of text and their exit status
=============  ===================================================================

What they tell of runs is found out in `redisflow.looking`, what they do to them in
`redisflow.operations`.

Results and tables go to standard output, everything else to standard error, and an
error is one line that begins with ``redisflow:``. ``REDISFLOW_DEBUG=1`` adds the
traceback.

===  ====================================================
0    success
1    the flow failed, or was reverted
2    a mistake in the command, its values or the factory
3    the flow is suspended
4    the server was not reached, or it refused
5    refused by the state of the flow or by a lock
70   an error inside redisflow
130  interrupted
===  ====================================================

Typer and rich are an extra: without them `main` says how to install them.
"""

from __future__ import annotations

import importlib.util
import sys

_EXTRA = ("typer", "rich")


def main() -> None:
    """Run the program and exit with its status."""
    for name in _EXTRA:  # commands, and with them rich, are imported only later
        if importlib.util.find_spec(name) is None:
            sys.stderr.write(
                f"redisflow: the command line needs {name}: install 'redisflow[cli]'\n"
            )
            sys.exit(2)
    # Not needed by anybody who imports redisflow, and perhaps not installed.
    from redisflow.cli.app import invoke  # noqa: PLC0415

    sys.exit(invoke(sys.argv[1:]))
