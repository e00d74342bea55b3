"""How fast redisflow is, as ratios: ``python -m benchmarks`` (or ``make bench``).

Absolute times say more about a machine than about a program. So every figure is
measured beside what it is compared with, in one process, on one server, in turns
(A B A B …), and what is printed is the median ratio with its spread.

One file asks one question:

===================  =========================================================
`round_trips`        how many commands does an operation cost?
`storage_cas`        what does Storage add to a bare compare-and-set script?
`lock`               what does a section of the lock cost, and a hand-over?
`hand_over`          how soon does a successor start in another process?
`line`               how fast is a line of tasks, beside that and beside TaskFlow?
`independent`        how fast are tasks that wait for nothing?
`graphs`             how fast are a fan and a layered graph, beside TaskFlow?
`peers`              how do three small flows compare with published figures?
`growth`             does an atom cost more in a large flow than in a small one?
`workers`            what do more workers bring?
`dead_worker`        how soon does a dead worker's atom run elsewhere?
`reverts`            what do retries and reverts cost?
`large_results`      what do large results cost?
`memory`             how much of the server's memory does an atom take?
`many_flows`         what does a flow cost where there are many?
`idle_workers`       what do workers ask for while nothing happens?
`script_time`        how long does the server take for each operation?
`long_scripts`       how long does each script take in a large flow?
`sqlite`             how fast is a line beside TaskFlow on SQLite? (``--full``)
===================  =========================================================

`operations`, `flows`, `processes` and `bare` are what they measure; `server`,
`measuring`, `report` and `chart` are their tools. A server of their own is started for
them, on a free port of the loopback interface, and it keeps nothing on disk.
"""

from __future__ import annotations
