"""What atoms returned, and how they failed."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, NoReturn

from taskflow import exceptions, states
from taskflow.types.failure import Failure

from redisflow.arguments import INJECTOR, unsupplied
from redisflow.errors import NotFound, StaleToken
from redisflow.persistence import AtomRecord
from redisflow.persistence.names import ATOM_STATES, as_state
from redisflow.persistence.records import entry_field
from redisflow.storage.core import StorageCore

logger = logging.getLogger(__name__)

EXECUTE_STATES_WITH_RESULTS = (states.SUCCESS, states.FAILURE, states.REVERTING)
_REVERT_STATES_WITH_RESULTS = (
    states.REVERTED,
    states.REVERT_FAILURE,
    states.REVERTING,
)
_RESULT_FIELDS = {
    states.SUCCESS: "results",
    states.FAILURE: "failure",
    states.REVERTED: "revert_results",
    states.REVERT_FAILURE: "revert_failure",
}
#: What a result of each state takes the place of; a retry keeps its results.
_REPLACED = {
    states.SUCCESS: ("failure", "revert_results", "revert_failure"),
    states.FAILURE: ("results", "revert_results", "revert_failure"),
    states.REVERTED: ("revert_failure",),
    states.REVERT_FAILURE: ("results", "revert_results"),
}
_FAILURE_STATES = (states.FAILURE, states.REVERT_FAILURE)


class ResultMethods(StorageCore):
    """The methods of a storage that are about results and failures."""

    def save(self, atom_name: str, result: Any, state: str = states.SUCCESS) -> None:
        """Record an atom's result and the state that it is in with it.

        A task has one result; those of a retry are appended to its history.

        Raises:
            StaleToken: another storage has finished the task in this round, or a
                worker holds the atom; nothing was changed.
            ValueRefused: the result cannot be stored.
            InvalidState: there is no such state.
        """
        record = self._known(atom_name)
        as_state(state, ATOM_STATES, f"the atom {atom_name!r}")
        payload = self.encode_result(state, result, name=atom_name)
        if record.type == "retry":
            reply = self._request("retry_save", record, state=state, payload=payload)
        else:
            reply = self._move(
                "atom_save",
                of=record.uuid,
                atom=record.uuid,
                state=state,
                payload=payload,
                writer=self.writer,
            )
        if reply.status == "STALE":
            other = reply.fields[0].decode() or "another process"
            message = f"atom {atom_name!r} was finished, or is held, by {other}"
            raise StaleToken(message, atom=atom_name)
        self._check(reply, atom_name)
        if reply.status == "OK":
            _old, before, rev = reply.fields

            def change() -> None:
                put(record, state, result, rev)
                self.mirror.note_failed(record)

            self.mirror.applied(before, rev, change)
        keep_raised(record, state, result)
        if state == states.SUCCESS and record.detail.intention == states.EXECUTE:
            self.warn_unsupplied(atom_name, result)

    def get_execute_result(self, atom_name: str) -> Any:
        """Return what an atom's ``execute`` returned, or its failure.

        Raises:
            NotFound: it has none in the state that it is in.
        """
        self._refresh()
        return self.payloads.consistently(
            lambda: self._result_or_not_found(
                *(atom_name, "results", "failure"),
                allowed=EXECUTE_STATES_WITH_RESULTS,
                what="execution",
            )
        )

    get = get_execute_result

    def get_revert_result(self, atom_name: str) -> Any:
        """Return what an atom's ``revert`` returned, or its failure.

        Raises:
            NotFound: it has none in the state that it is in.
        """
        self._refresh()
        return self.payloads.consistently(
            lambda: self._result_or_not_found(
                *(atom_name, "revert_results", "revert_failure"),
                allowed=_REVERT_STATES_WITH_RESULTS,
                what="revert",
            )
        )

    def get_execute_failures(self) -> dict[str, Failure]:
        """Return the failures of all atoms' ``execute``, by atom."""
        return self._failures_in("failure", "E")

    get_failures = get_execute_failures

    def get_revert_failures(self) -> dict[str, Failure]:
        """Return the failures of all atoms' ``revert``, by atom."""
        return self._failures_in("revert_failure", "R")

    def has_failures(self) -> bool:
        """Tell whether any atom has a failure, whichever process saw it."""
        self._refresh()
        return bool(self.mirror.failed("ER"))

    def encode_result(self, state: str, result: Any, *, name: str = "") -> bytes:
        """Encode what belongs to a state: a failure, or any value.

        Raises:
            ValueRefused: the value cannot be stored.
        """
        if state in _FAILURE_STATES:
            if not isinstance(result, Failure):
                raise TypeError(f"the result of {state} is a Failure, not {result!r}")
            return self._backend.codec.encode_failure(result)
        return self._backend.codec.encode(result, name=name)

    def warn_unsupplied(self, atom_name: str, result: Any) -> None:
        """Warn of promised names that a result does not hold, as TaskFlow does."""
        mapping = self.mirror.providers.mapping_of(atom_name)
        for name, index in unsupplied(mapping, result).items():
            logger.warning(
                "Atom '%s' did not supply result with index %r (name '%s')",
                atom_name,
                index,
                name,
            )

    def _result(
        self, atom_name: str, field: str, failure_field: str, allowed: Sequence[str]
    ) -> Any:
        record = self.mirror.atom(atom_name)
        failed = ("R" if field == "revert_results" else "E") in record.failed
        if not failed and record.detail.state not in allowed:
            deny(record, allowed)
        if atom_name == INJECTOR and field != "revert_results":
            return self.payloads.injected()
        self.payloads.fetch([atom_name], (field, failure_field))
        failure = record.payloads.get(failure_field)
        if failure is not None:
            return failure
        if field == "last" and record.type == "retry" and not record.entries:
            raise NotFound(f"the retry {atom_name!r} has not returned anything yet")
        if field == "results" and record.type == "retry":
            return list(record.payloads[field])
        return record.payloads.get(record.last if field == "last" else field)

    def _result_or_not_found(
        self,
        atom_name: str,
        field: str,
        failure_field: str,
        *,
        allowed: Sequence[str],
        what: str,
    ) -> Any:
        try:
            return self._result(atom_name, field, failure_field, allowed)
        except exceptions.DisallowedAccess as error:
            ignored = " (as it was ignored)" if error.state == states.IGNORE else ""
            message = f"Result for atom '{atom_name}' {what} is not known{ignored}"
            raise NotFound(message) from error

    def _failures_in(self, field: str, flag: str) -> dict[str, Failure]:
        def read() -> dict[str, Failure]:
            names = self.mirror.failed(flag)
            self.payloads.fetch(names, (field,))
            return {name: self.mirror.atoms[name].payloads[field] for name in names}

        self._refresh()
        return self.payloads.consistently(read)


def put(record: AtomRecord, state: str, result: Any, rev: int) -> None:
    """Show in a record what the server does with a result of a state."""
    record.owner = ""
    field = _RESULT_FIELDS.get(state)
    if field == "results" and record.type == "retry":
        field = _append(record, result)
    else:
        record.detail.put(state, result)
    if field is not None:
        _show_result(record, field, state, result)
    record.rev = rev


def _show_result(record: AtomRecord, field: str, state: str, result: Any) -> None:
    if state == states.SUCCESS:
        record.failed = ""
        record.raised.clear()
    elif state == states.FAILURE:
        record.failed = "E"
    else:
        executed = "E" if "E" in record.failed else ""
        record.failed = executed + ("R" if state == states.REVERT_FAILURE else "V")
    for other in _REPLACED[state]:
        if other != "results" or record.type == "task":
            record.payloads[other] = None
    record.payloads[field] = result
    keep_raised(record, state, result)


def _append(record: AtomRecord, result: Any) -> str:
    """Add a result to what is known of a retry's history; returns its field."""
    detail = record.detail
    detail.state = states.SUCCESS
    detail.failure = detail.revert_failure = detail.revert_results = None
    record.entries += 1
    if "results" in record.payloads:
        record.payloads["results"].append((result, {}))
    return entry_field(record.entries)


def keep_raised(record: AtomRecord, state: str, result: Any) -> None:
    """Keep a failure of this process, which has the traceback, if it is one."""
    if state in _FAILURE_STATES:
        record.raised[_RESULT_FIELDS[state]] = result


def deny(record: AtomRecord, allowed: Sequence[str]) -> NoReturn:
    """Raise that an atom's result is not to be had in the state that it is in."""
    raise exceptions.DisallowedAccess(
        f"Result for atom '{record.name}' is not known/accessible due to it being in"
        f" {record.detail.state} state when result access is restricted to"
        f" {allowed} states",
        state=record.detail.state,
    )
