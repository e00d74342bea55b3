"""The command line: run a flow with several workers, and look at it.

=================  ===============================================================
`app`              the program, and how it ends; ``commands`` imports each command
                   when it is asked for, ``words`` spells out what was left out
`run`              ``redisflow run``; ``interrupts`` suspends it on Ctrl-C,
                   ``progress`` shows how far it is, ``outcome`` what came of it
`submit`           ``redisflow submit``: leave a flow to workers, and perhaps wait
`worker`           ``redisflow worker``: serve what was submitted
`ls`               ``redisflow ls``; ``listing`` reads the index of flows
`show`             ``redisflow show``; ``flows`` finds and reads the flow,
                   ``waits`` tells what its atoms wait for
`server`           ``redisflow server``
`options`          what several commands take; ``completion`` what shells offer
`reports`          what commands that read show, once or again and again, as text
                   or JSON; ``terminal`` where they print, ``console`` in which
                   colours, ``states`` and ``failures`` in which words, ``clock``
                   whose times
`problems`         errors: their line of text and their exit status
=================  ===============================================================

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

import sys

_EXTRA = ("typer", "rich")


def main() -> None:
    """Run the program and exit with its status."""
    try:
        # Not needed by anybody who imports redisflow, and perhaps not installed.
        from redisflow.cli.app import invoke  # noqa: PLC0415
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(
            f"redisflow: the command line needs {error.name}: install"
            " 'redisflow[cli]'\n"
        )
        sys.exit(2)
    sys.exit(invoke(sys.argv[1:]))
