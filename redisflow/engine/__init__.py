"""Running flows: the engine plug-in, and what loads and starts engines.

==============  ==================================================================
`shared`        `SharedEngine`, the TaskFlow engine
`course`        its part in one run; ``outcomes`` is how runs end
`loop`          what it does while it runs; ``stepping`` does so phase by phase,
                ``hints`` say that there may be work
`worker`        taking work and giving it back; ``items`` is what is exchanged
`membership`    lease and heartbeat of a worker, and sweeping up after dead ones
`starting`      joining a run, or starting it
`atoms`         running the code of users
`executors`     where that code runs
`deciding`      asking deciders and retry controllers
`plans`         changes of many records; cancelling is one
`resetting`     putting a flow back; ``settling`` ends one that has no worker left
`compiling`     the graph of a flow; ``compilation`` is TaskFlow's form of it
`structure`     what a flow looks like to the server; ``fingerprint`` names that
`watching`      telling observers of work
`checking`      are all arguments provided?
`settings`      the engine's options
`loading`       `load`: a flow by its run id
`following`     `follow`: the journal, for listeners in other processes
`factories`     making flows from references
`processes`     `run`: several worker processes; ``child`` is one of them,
                ``children`` are all that a parent has started, ``signals`` keeps
                their handlers from what tasks fork
`submitting`    `submit`: leaving a flow to workers; ``submissions`` is what they see
`serving`       a worker of submitted flows; ``parts`` are its engines, ``allowing``
                says what it may import
==============  ==================================================================
"""

from __future__ import annotations

from redisflow.engine.atoms import current
from redisflow.engine.following import follow
from redisflow.engine.loading import load
from redisflow.engine.processes import run
from redisflow.engine.shared import SharedEngine
from redisflow.engine.submitting import submit

__all__ = ["SharedEngine", "current", "follow", "load", "run", "submit"]
