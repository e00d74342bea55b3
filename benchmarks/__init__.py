"""How fast redisflow is, as ratios: ``python -m benchmarks`` (or ``make bench``).

Absolute times say more about a machine than about a program. So every figure is
measured beside what it is compared with, in one process, on one server, in turns
(A B A B …), and what is printed is the median ratio with its spread.

One file asks one question:

===================  =========================================================
`round_trips`        how many commands does an operation cost?
`storage_cas`        what does Storage add to a bare compare-and-set script?
`lock`               what does a section of the lock cost, and a hand-over?
`line`               how fast is a line of tasks, beside that and beside TaskFlow?
`independent`        how fast are tasks that wait for nothing?
`memory`             how much of the server's memory does an atom take?
`script_time`        how long does the server take for each script?
`sqlite`             how fast is a line beside TaskFlow on SQLite? (``--full``)
===================  =========================================================

`operations`, `flows` and `bare` are what they measure; `server`, `measuring` and
`report` are their tools. A server of their own is started for them, on a free port
of the loopback interface, and it keeps nothing on disk.
"""

from __future__ import annotations
