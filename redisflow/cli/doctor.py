"""``redisflow doctor``: is all that is stored whole, and the server fit for it?"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Sequence
from typing import Annotated

import typer
from rich.text import Text

from redisflow.cli.console import BAD, DOUBTFUL, console_on
from redisflow.cli.layout import print_wrapped
from redisflow.cli.options import Output, OutputOption, ReasonOption, Url
from redisflow.cli.problems import Status, UsageProblem
from redisflow.cli.reports import json_text
from redisflow.cli.terminal import say, whole_output
from redisflow.doctor import (
    RULES,
    Finding,
    Severity,
    check_flow,
    check_namespace,
    check_server,
    repair_flow,
    repair_namespace,
)
from redisflow.doctor.snapshot import text
from redisflow.looking.flows import find_flow
from redisflow.looking.texts import printable
from redisflow.persistence import RedisBackend

EPILOG = """\
[bold]Examples[/bold]

redisflow doctor

redisflow doctor nightly -o json

redisflow doctor --repair --dry-run

redisflow doctor nightly --repair --reason "edited by hand, ticket 4711"

Exit status: 0 nothing is wrong (warnings and notes do not count), 5 errors were found,
2 usage, 4 server. With --repair: 5 where an error is left that cannot be mended.
"""

_STYLES = {Severity.ERROR: BAD, Severity.WARNING: DOUBTFUL, Severity.NOTE: "dim"}
_PAGE = 500


def doctor(
    run: Annotated[
        str | None,
        typer.Argument(
            metavar="[RUN]",
            help="Look at this run only: a run id, the uuid of a flow, or the first"
            " four or more characters of that uuid. Without it: the server, indexes,"
            " and all runs.",
            show_default=False,
        ),
    ] = None,
    *,
    repair: Annotated[
        bool,
        typer.Option(
            "--repair",
            help="Compute anew what is derived: counters, the order of changes,"
            " indexes. States, results and the journal are left as they are.",
        ),
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what --repair would mend.")
    ] = False,
    reason: ReasonOption = "",
    url: Url = None,
    output: OutputOption = Output.HUMAN,
) -> int:
    """Look whether what is stored is whole, and whether the server is set up for it.

    Only reads, unless told to repair. It may be run at any time: a flow that is at work
    is read until it stands still for a moment. What was repaired stands in the journal
    of its flow, with who did it and why.
    """
    if reason and not repair:
        raise UsageProblem("--reason says why something is repaired: add --repair")
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        # First, so that a server that other commands refuse is looked at, too.
        findings = [] if run is not None else check_server(backend.client)
        mended: list[Finding] = []
        flows: list[str] = []
        if all(finding.rule != "server-old" for finding in findings):
            flows = _all_flows(backend) if run is None else [find_flow(backend, run)]
            if repair and not dry_run:
                mended = [] if run is not None else repair_namespace(backend)
                for uuid in flows:
                    mended += repair_flow(backend, uuid, reason=reason)
            if run is None:
                findings += check_namespace(backend)
            for uuid in flows:
                findings += check_flow(backend, uuid)
    _print(findings, mended, len(flows), output, would=dry_run)
    errors = any(finding.severity is Severity.ERROR for finding in findings)
    return Status.STATE if errors else Status.SUCCESS


def _all_flows(backend: RedisBackend) -> list[str]:
    """Name all flows of the namespace: those with a hash, whatever the index says."""
    space = backend.keys.of_flow("*").flow
    keys = sorted(map(text, set(backend.client.scan(space))))
    prefix, _, suffix = space.partition("*")
    return [key.removeprefix(prefix).removesuffix(suffix) for key in keys]


def _print(
    findings: Sequence[Finding],
    mended: Sequence[Finding],
    flows: int,
    output: Output,
    *,
    would: bool,
) -> None:
    found = [_document(finding) for finding in findings]
    repaired = [_document(finding) for finding in mended]
    if output is Output.JSON:
        document = {"flows": flows, "findings": found, "repaired": repaired}
        with whole_output() as stream:
            stream.write(json_text(document, output))
    elif output is Output.JSONL:
        with whole_output() as stream:
            for record in repaired:
                stream.write(json_text({**record, "repaired": True}, output))
            for record in found:
                stream.write(json_text({**record, "repaired": False}, output))
    else:
        with whole_output():
            _print_lines(findings, mended, would=would)
        _say_counts(findings, flows)


def _print_lines(
    findings: Sequence[Finding], mended: Sequence[Finding], *, would: bool
) -> None:
    console = console_on(sys.stdout)
    for finding in mended:
        print_wrapped(console, _line(finding, "mended "))
    for severity in Severity:
        for finding in findings:
            if finding.severity is severity:
                lead = "would mend " if would and finding.repairable else ""
                print_wrapped(console, _line(finding, lead))


def _say_counts(findings: Sequence[Finding], flows: int) -> None:
    counts = Counter(finding.severity for finding in findings)
    told = ", ".join(
        f"{counts[severity]} {severity}{'' if counts[severity] == 1 else 's'}"
        for severity in Severity
        if counts[severity]
    )
    say(f"looked at {flows:,} flow{'' if flows == 1 else 's'}: {told or 'all is well'}")


def _line(finding: Finding, lead: str) -> Text:
    line = Text(lead)
    line.append(f"{finding.severity} ", _STYLES[finding.severity])
    line.append(finding.rule, "bold")
    where = finding.key or f"server {finding.node}".rstrip()
    line.append(f"  {printable(finding.message)}  ({printable(where)})")
    return line


def _document(finding: Finding) -> dict[str, object]:
    return {
        "severity": str(finding.severity),
        "rule": finding.rule,
        "text": RULES[finding.rule].text,
        "message": finding.message,
        "key": finding.key or None,
        "flow_uuid": finding.flow or None,
        "node": finding.node or None,
        "repairable": finding.repairable,
    }
