"""The histories of retries: what each try returned, and which atoms then failed.

An entry is a value of the retry and the failures of atoms that came after it, by the
name of the atom. Each is a field of the retry's result hash, so that nobody overwrites
what another adds. Where a reply is lost the client sends again; these scripts remember
the last request of each thread, so that nothing is appended twice.
"""

from __future__ import annotations

from taskflow import retry
from taskflow.types.failure import Failure

from redisflow.errors import StoreError
from redisflow.persistence import AtomRecord
from redisflow.persistence.names import ATOM_STATES, as_name, as_state
from redisflow.persistence.records import entry_field
from redisflow.storage.core import StorageCore


class RetryMethods(StorageCore):
    """The methods of a storage that are about the histories of retries."""

    def save_retry_failure(
        self, retry_name: str, failed_atom_name: str, failure: Failure
    ) -> None:
        """Note in the last entry of a retry's history that an atom has failed.

        Of several failures of one atom the first stays.

        Raises:
            TypeError: the atom is not a retry, or this is not a failure.
            StoreError: its history has no entry yet.
        """
        record = self._expect(retry_name, "retry")
        if not isinstance(failure, Failure):
            raise TypeError(f"what has failed is told by a Failure, not {failure!r}")
        reply = self._request(
            "retry_fail",
            record,
            failed=as_name(failed_atom_name),
            payload=self._backend.codec.encode_failure(failure),
        )
        self._check(reply, retry_name)
        if reply.status == "EMPTY":
            raise StoreError(
                "Unable to fetch most recent retry failures so new retry failure can be"
                f" inserted: the history of {retry_name!r} is empty"
            )
        if reply.status != "OK":
            return
        before, rev, entry = reply.fields
        field = entry_field(entry, failed_atom_name)
        record.raised[field] = failure

        def change() -> None:
            record.payloads[field] = failure
            if "results" in record.payloads:
                record.payloads["results"][-1][1][failed_atom_name] = failure
            record.rev = rev

        self.mirror.applied(before, rev, change)

    def cleanup_retry_history(self, retry_name: str, state: str) -> None:
        """Set the state of a retry that no worker holds, and empty its history.

        Raises:
            TypeError: the atom is not a retry.
            InvalidState: a worker holds it, or there is no such state.
        """
        record = self._expect(retry_name, "retry")
        as_state(state, ATOM_STATES, f"the retry {retry_name!r}")
        reply = self._request("retry_clear", record, state=state)
        self._check(reply, retry_name)
        if reply.status == "OK":
            _old, _before, rev = reply.fields
            self.mirror.applied(-1, rev)

    def get_retry_history(self, retry_name: str) -> retry.History:
        """Return the history of one retry.

        Raises:
            TypeError: the atom is not a retry.
        """

        def read() -> retry.History:
            record = self._expect(retry_name, "retry")
            self.payloads.fetch([retry_name], ("results", "failure"))
            return _as_history(record)

        self._refresh()
        return self.payloads.consistently(read)

    def get_retry_histories(self) -> list[tuple[str, retry.History]]:
        """Return the name and the history of every retry of the flow."""

        def read() -> list[tuple[str, retry.History]]:
            atoms = self.mirror.atoms.values()
            retries = [record for record in atoms if record.type == "retry"]
            names = [record.name for record in retries]
            self.payloads.fetch(names, ("results", "failure"))
            return [(record.name, _as_history(record)) for record in retries]

        self._refresh()
        return self.payloads.consistently(read)


def _as_history(record: AtomRecord) -> retry.History:
    entries = [(value, dict(found)) for value, found in record.payloads["results"]]
    return retry.History(entries, failure=record.payloads["failure"])
