"""`submit`: leave a flow to the workers that serve submitted flows.

What is submitted is the import path of the flow's factory and its arguments; the module
is imported by workers alone. The run id names the flow, as everywhere, so submitting is
get-or-create, and doing it twice is as good as once. The flow is stored first, still
without a mark, which nobody serves; then one script writes its values and the mark::

    nothing ──► stored ──► submitted ──► its run ends ──► over
                              ▲    │                       │
                              └────┘ the same again        │
                              └──── rerun, or suspended ◄──┘
"""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from taskflow import states

from redisflow import observing
from redisflow.arguments import INJECTOR
from redisflow.client import Replication
from redisflow.codec.masking import MASKED, Mask
from redisflow.engine.factories import FactoryCall, FlowOrTask
from redisflow.engine.loading import check_run_id, find_run, store_run
from redisflow.engine.membership import worker_id
from redisflow.engine.settings import Settings
from redisflow.engine.submissions import Submissions
from redisflow.errors import ConfigError, SubmissionDiffers, ValueRefused
from redisflow.keys import atom_uuid_of
from redisflow.persistence import RedisBackend
from redisflow.persistence.commands import run_many
from redisflow.persistence.journal import operator_id
from redisflow.persistence.names import as_name
from redisflow.scripts import Argument, FlowScripts, Reply

#: Engine options that belong to a flow, and not to the workers that serve it.
OPTIONS = (
    *("claim_all", "defer_reverts", "durability", "inject_transient", "lease_s"),
    *("max_attempts", "never_resolve", "replicas", "retention_s"),
)

_MASK = Mask()

#: The arguments of a factory are read with the flow's hash, again and again.
MAX_BYTES = 256 * 2**10


@dataclass(frozen=True, slots=True)
class Submitted:
    """What came of submitting a flow.

    Attributes:
        run_id: names the run.
        flow_uuid: of its flow.
        run: number of the run to wait for.
        ended: the state in which it had ended before, and stays; None if it is on.
        servers: how many workers serve submitted flows now.
    """

    run_id: str
    flow_uuid: str
    run: int
    ended: str | None = None
    servers: int = 0


@dataclass(frozen=True, slots=True)
class _Words:
    """A call and its options, encoded."""

    factory: str
    args: bytes
    kwargs: bytes
    options: bytes

    @property
    def size(self) -> int:
        return len(self.args) + len(self.kwargs) + len(self.options)


def submit(
    factory: str | Callable[..., FlowOrTask],
    *,
    run_id: str | None = None,
    store: Mapping[str, Any] | None = None,
    url: str | None = None,
    factory_args: Sequence[Any] = (),
    factory_kwargs: Mapping[str, Any] | None = None,
    rerun: bool = False,
    **options: Any,
) -> str:
    """Leave a flow to ``redisflow worker`` processes; returns its run id.

    ::

        redisflow.submit(
            "shop.flows:make_order", run_id="order-17", store={"order": 17}
        )

    Args:
        factory: makes the flow: ``module:name``, ``file.py:name`` or a callable at a
            module's top level. Workers import it; text is not looked at here.
        run_id: names the flow; None makes a random one.
        store: values for the flow.
        url: the server; None: ``REDISFLOW_URL``, or the embedded one.
        factory_args: positional arguments of the factory.
        factory_kwargs: keyword arguments of the factory.
        rerun: start a run that has ended once more, perhaps with other arguments. One
            that was suspended is resumed in any case.
        options: of the engines of all workers: ``max_attempts``, ``lease_s``,
            ``retention_s``, ``durability``, ``replicas``, ``defer_reverts``,
            ``never_resolve``, ``inject_transient``, ``claim_all``. What is to be
            replicated is submitted once its submission is.

    Raises:
        SubmissionDiffers: the run was submitted before with another factory, arguments
            or options, and ``rerun`` is off; or, until it ends, with another value.
        ConfigError: the factory, the URL or an option cannot be used.
        ValueRefused: an argument or a value cannot be stored; nothing was written.
        StoreError: the server cannot be used.
    """
    call = FactoryCall.of(factory, factory_args, factory_kwargs)
    if not isinstance(factory, str):
        call.check_arguments(factory)
    with contextlib.closing(RedisBackend.from_url(url)) as backend:
        placed = place(
            backend, call, run_id=run_id, store=store, rerun=rerun, options=options
        )
    return placed.run_id


def place(
    backend: RedisBackend,
    call: FactoryCall,
    *,
    run_id: str | None = None,
    store: Mapping[str, Any] | None = None,
    rerun: bool = False,
    options: Mapping[str, Any] | None = None,
    act: str = "submit",
    reason: str = "",
) -> Submitted:
    """Submit a flow on a backend, as `submit` does.

    Args:
        backend: where to.
        call: makes the flow.
        run_id: names the flow; None makes a random one.
        store: values for the flow.
        rerun: start a run that has ended once more.
        options: of the engines of all workers.
        act: what the journal calls it.
        reason: why, for the journal.

    Raises:
        RedisFlowError: as `submit` does.
    """
    run_id = check_run_id(secrets.token_hex(6) if run_id is None else run_id)
    replication = _replication_of(backend, options or {})
    words = _encoded(backend, call, options or {})
    values: list[Argument] = []
    for name, value in (store or {}).items():
        values += [as_name(name), backend.codec.encode(value, name=name)]
    # The flow's own name is known to its factory alone.
    detail, exists = find_run(backend, run_id, flow_name=run_id)
    uuid = str(detail.uuid)
    if not exists:
        store_run(backend, run_id, detail)
    elif observing.observers:
        _note_run(backend, uuid, rerun=rerun)
    submissions = Submissions(backend)
    submissions.add(uuid, backend.client.now_ms())
    scripts = backend.scripts_of(uuid)
    # What was written before the mark has reached the replicas that have the mark.
    scripts.replication = replication
    reply = _mark(
        backend, scripts, run_id, words, values, rerun=rerun, act=act, reason=reason
    )
    run = int(reply.fields[0])
    if reply.status == "ENDED":
        submissions.drop(uuid)
        return Submitted(run_id, uuid, run, ended=reply.fields[1].decode())
    now_ms = backend.client.now_ms()
    submissions.add(uuid, now_ms)
    servers = submissions.call_servers(uuid, now_ms)
    return Submitted(run_id, uuid, run, servers=servers)


def _note_run(backend: RedisBackend, uuid: str, *, rerun: bool) -> None:
    """Have stored what observers tell of a run that is about to be submitted."""
    key = backend.keys.of_flow(uuid).flow
    command = ("HMGET", key, "run", "ended", "state")
    run, ended, state = run_many(backend.client, [command])[0]
    if run != ended or not (rerun or state == states.SUSPENDED.encode()):
        return
    words: list[Argument] = []
    for name, value in observing.metadata(int(run) + 1).items():
        words += [as_name(name), backend.codec.encode(value, name=name)]
    if words:
        backend.scripts_of(uuid).call("flow_update", rest=words)


def _replication_of(
    backend: RedisBackend, options: Mapping[str, Any]
) -> Replication | None:
    """Check the options of engines; tells whether their flow is to be replicated.

    Raises:
        ConfigError: an option that does not go with a flow, or with this server.
    """
    for name in options:
        if name not in OPTIONS:
            raise ConfigError(
                f"{name} is no option of a submitted flow: {', '.join(OPTIONS)}"
            )
    settings = Settings(options)
    settings.check_server(backend.config)
    return settings.replication


def _encoded(
    backend: RedisBackend, call: FactoryCall, options: Mapping[str, Any]
) -> _Words:
    """Encode a call and its options.

    Raises:
        ValueRefused: something cannot be stored.
    """
    for name in call.kwargs:
        as_name(name)
    encode = backend.codec.encode
    words = _Words(
        as_name(call.reference),
        encode(list(call.args), name="the factory's arguments"),
        encode(dict(sorted(call.kwargs.items())), name="the factory's arguments"),
        encode(dict(sorted(options.items())), name="the options"),
    )
    if words.size > MAX_BYTES:
        raise ValueRefused(
            f"the factory's arguments take {words.size:,} bytes, at most {MAX_BYTES:,}:"
            " give large values to the flow's store",
            path="$",
            type_name="list",
            name="the factory's arguments",
        )
    return words


def _mark(
    backend: RedisBackend,
    scripts: FlowScripts,
    run_id: str,
    words: _Words,
    values: Sequence[Argument],
    *,
    rerun: bool,
    act: str,
    reason: str,
) -> Reply:
    """Run the script; what was stored counts as the same if it reads as equal."""
    uuid = scripts.keys.flow_uuid
    injector = atom_uuid_of(uuid, INJECTOR)
    request = worker_id(os.getpid(), secrets.token_hex(8))
    while True:
        reply = scripts.call(
            "flow_submit",
            of=injector,
            rest=values,
            factory=words.factory,
            args=words.args,
            kwargs=words.kwargs,
            options=words.options,
            rerun=int(rerun),
            request=request,
            who=operator_id(),
            act=act,
            reason=reason,
            atom=injector,
            name=INJECTOR,
        )
        if reply.status == "CONFLICT":
            name = reply.fields[0].decode()
            raise SubmissionDiffers(
                f"run {run_id!r} has another value for {name!r}",
                run_id=run_id,
                differs=(f"store[{name!r}]",),
            )
        if reply.status != "DIFFERS":
            return reply
        factory, *rest = reply.fields
        stored = _Words(factory.decode(), *rest)
        _refuse_other(backend, run_id, uuid, stored, words)
        words = stored


def _refuse_other(
    backend: RedisBackend, run_id: str, uuid: str, stored: _Words, given: _Words
) -> None:
    """Tell what of a submission is not as it was, if anything.

    Raises:
        SubmissionDiffers: something is.
    """
    before, now = (_parts(backend, uuid, words) for words in (stored, given))
    differs = tuple(
        name
        for name in dict.fromkeys([*before, *now])
        if not (name in before and name in now and _same(before[name], now[name]))
    )
    if not differs:
        return
    told = [
        f"{name} {_shown(before, name)}, not {_shown(now, name)}"
        for name in differs[:3]
    ]
    more = f", and {len(differs) - 3} more" if len(differs) > 3 else ""  # noqa: PLR2004
    raise SubmissionDiffers(
        f"run {run_id!r} was submitted before with {'; '.join(told)}{more}",
        run_id=run_id,
        differs=differs,
    )


def _parts(backend: RedisBackend, uuid: str, words: _Words) -> dict[str, Any]:
    """Give all that a submission says, each argument by itself."""
    key = backend.keys.of_flow(uuid).flow
    decode = backend.codec.decode
    parts: dict[str, Any] = {"factory": words.factory}
    args, kwargs, options = (
        decode(data, key=key) for data in (words.args, words.kwargs, words.options)
    )
    parts |= {f"args[{n}]": value for n, value in enumerate(args)}
    parts |= {f"kwargs[{name!r}]": value for name, value in kwargs.items()}
    parts |= {f"options[{name!r}]": value for name, value in options.items()}
    return parts


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)


def _shown(parts: Mapping[str, Any], name: str) -> str:
    if name not in parts:
        return "absent"
    if _MASK.hides(name):
        return MASKED
    text = repr(_MASK.of(parts[name]))
    return text if len(text) <= 60 else f"{text[:60]}…"  # noqa: PLR2004
