"""Values by name: injecting them, and finding what the arguments of an atom are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from taskflow import states

from redisflow.arguments import INJECTOR, TRANSIENT, Levels, Lookup, Scope
from redisflow.errors import InvalidState
from redisflow.keys import atom_uuid_of
from redisflow.persistence.names import as_name
from redisflow.persistence.records import META_INJECTED
from redisflow.storage.atoms import AtomMethods
from redisflow.storage.core import Pairs
from redisflow.storage.results import (
    EXECUTE_STATES_WITH_RESULTS,
    ResultMethods,
    deny,
)

#: Names that one call notes: Lua hands only so many to one command.
_NAMES = 1000


class ValueMethods(AtomMethods, ResultMethods):
    """The methods of a storage that are about named values."""

    def inject(
        self,
        pairs: Pairs | Iterable[tuple[str, Any]],
        transient: bool = False,  # noqa: FBT001, FBT002  # TaskFlow's signature
    ) -> None:
        """Give the flow values by name; transient ones stay in this process.

        Raises:
            ValueRefused: a value that is not transient cannot be stored.
        """
        pairs = dict(pairs)
        if transient:
            with self.mirror.lock:
                self._transients.update(pairs)
                names = {name: name for name in self._transients}
                self.mirror.providers.declare(TRANSIENT, names)
            return
        self.inject_values(pairs, joining=False)

    def save(self, atom_name: str, result: Any, state: str = states.SUCCESS) -> None:
        """Record an atom's result and the state that it is in with it.

        A task has one result; those of a retry are appended to its history. The result
        of ``injector_name`` is all that is injected into the flow: a name to value
        mapping that takes the place of the one before.

        Raises:
            StaleToken: another storage has finished the task in this round, or a
                worker holds the atom; nothing was changed.
            ValueRefused: the result cannot be stored.
            InvalidState: there is no such state.
        """
        if atom_name == INJECTOR and state == states.SUCCESS and _is_named(result):
            self._known(atom_name)
            self.inject_values(result, joining=False, whole=True)
        else:
            super().save(atom_name, result, state)

    def inject_values(
        self, pairs: Pairs, *, joining: bool, whole: bool = False
    ) -> None:
        """Give the flow values by name, in Redis.

        Args:
            pairs: name to value.
            joining: refuse to change a value that live workers use.
            whole: remove the values of all other names.

        Raises:
            ValueRefused: a value cannot be stored.
            InvalidState: live workers use another value for a name.
        """
        uuid = atom_uuid_of(self.flow_uuid, INJECTOR)
        self._store_flow()
        if joining and not pairs:
            return
        encoded = self._encoded(pairs)
        reply = self._call(
            "value_inject",
            of=uuid,
            rest=encoded,
            atom=uuid,
            name=INJECTOR,
            joining=int(joining),
            whole=int(whole),
            who=self.writer,
        )
        if reply.status == "CONFLICT":
            name = reply.fields[0].decode()
            raise InvalidState(
                f"flow {self.flow_name!r} runs with another value for {name!r}"
            )
        before, rev = reply.fields
        if INJECTOR in self.mirror.atoms:
            key, decode = self._scripts.keys.result(uuid), self._backend.codec.decode
            # As everybody else gets them: what is injected is not shared with us.
            shown = {
                str(name): decode(data, key=key)
                for name, data in zip(encoded[::2], encoded[1::2], strict=True)
                if isinstance(data, bytes)
            }
            self.mirror.applied(
                before,
                rev,
                lambda: self.payloads.show_injected(shown, rev, whole=whole),
            )
        else:
            self.mirror.applied(-1, rev)
        self.mirror.providers.declare(INJECTOR, {name: name for name in pairs})

    def inject_atom_args(
        self,
        atom_name: str,
        pairs: Pairs | Iterable[tuple[str, Any]],
        transient: bool = True,  # noqa: FBT001, FBT002  # TaskFlow's signature
    ) -> None:
        """Give one atom values by name; transient ones stay in this process.

        Raises:
            ValueRefused: a value that is not transient cannot be stored.
        """
        record = self._known(atom_name)
        if transient:
            self._injected.setdefault(atom_name, {}).update(pairs)
            return
        if values := dict(pairs):

            def change(new: Pairs) -> None:
                meta = record.detail.meta
                meta[META_INJECTED] = {**(meta.get(META_INJECTED) or {}), **new}

            # Each on its own: what others inject meanwhile stays.
            self._describe(record, "injected", values, change)

    def injected_values(self) -> dict[str, Any]:
        """Return what was injected into the flow, here or in any process."""
        if INJECTOR not in self.mirror.atoms:
            return dict(self._transients)
        return {**self.payloads.injected(), **self._transients}

    def injected_into_atoms(self) -> dict[str, dict[str, Any]]:
        """Return what was injected into single atoms, by atom, where there is any."""
        found = {
            name: dict(injected)
            for name, record in list(self.mirror.atoms.items())
            if (injected := record.detail.meta.get(META_INJECTED))
        }
        for name, values in self._injected.items():
            found.setdefault(name, {}).update(values)
        return found

    def transients_elsewhere(self) -> frozenset[str]:
        """Return the names of values that other workers have and this one cannot get.

        As far as the mirror knows.
        """
        flow = self.mirror.flow
        return flow.transients - self._transients.keys() if flow else frozenset()

    def note_transients(self, injected_by_all: Callable[[str], Pairs]) -> None:
        """Let other workers know which values they cannot get.

        Args:
            injected_by_all: gives what each worker's engine injects into an atom.
        """
        names = set(self._transients)
        for atom, values in self._injected.items():
            names |= values.keys() - injected_by_all(atom).keys()
        flow = self.mirror.flow
        unknown = names - (flow.transients if flow else frozenset())
        words = sorted(map(as_name, unknown))
        for start in range(0, len(words), _NAMES):
            reply = self._call("value_note", rest=words[start : start + _NAMES])
            self.mirror.applied(-1, reply.fields[1])

    def fetch(
        self, name: str, many_handler: Callable[[list[Any]], Any] | None = None
    ) -> Any:
        """Return the value of a name, whoever provides it.

        Raises:
            NotFound: nothing provides it, or not yet.
        """

        def read() -> Any:
            origins = [p.name for p in self.mirror.providers.of(name)]
            self._bring(origin for origin in origins if isinstance(origin, str))
            return self._lookup().fetch(name, many_handler)

        self._refresh()
        return self.payloads.consistently(read)

    def fetch_all(
        self, many_handler: Callable[[list[Any]], Any] | None = None
    ) -> dict[str, Any]:
        """Return the value of every name that has one by now."""

        def read() -> dict[str, Any]:
            self._bring(self.mirror.atoms)
            return self._lookup().fetch_all(many_handler)

        self._refresh()
        return self.payloads.consistently(read)

    def fetch_mapped_args(
        self,
        args_mapping: Mapping[str, str],
        atom_name: str | None = None,
        scope_walker: Levels = None,
        optional_args: Sequence[str] | None = None,
    ) -> dict[str, Any]:
        """Return the value of each argument of ``args_mapping`` (argument to name).

        Raises:
            NotFound: one has no value.
        """
        if not args_mapping and self.mirror.live > 1:
            # Nothing is needed of what others have done. A process that is alone looks
            # once, and then follows by its own changes.
            if atom_name:
                self._known(atom_name)
            return {}
        self._refresh()
        if atom_name:
            self.mirror.atom(atom_name)
            if scope_walker is None:
                scope_walker = self._scope_fetcher(atom_name)
        if not args_mapping:
            return {}
        if scope_walker is not None and not isinstance(scope_walker, Scope):
            scope_walker = [list(level) for level in scope_walker]  # walked again
        lookup = self._lookup()
        # In the engine all visible atoms have ended: no need to look at every one.
        settled = self._is_pinned()

        def read() -> dict[str, Any]:
            injected = self._injected_into(atom_name) if atom_name else []
            wanted = lookup.wanted(
                args_mapping, injected=injected, scope=scope_walker, settled=settled
            )
            self._bring(wanted)
            return lookup.arguments(
                args_mapping,
                injected=injected,
                scope=scope_walker,
                optional=optional_args or (),
                settled=settled,
            )

        return self.payloads.consistently(read)

    def fetch_unsatisfied_args(
        self,
        atom_name: str,
        args_mapping: Mapping[str, str],
        scope_walker: Levels = None,
        optional_args: Sequence[str] | None = None,
    ) -> set[str]:
        """Return the arguments of an atom that nothing will ever provide."""
        self._refresh()
        if scope_walker is None:
            scope_walker = self._scope_fetcher(atom_name)
        elif not isinstance(scope_walker, Scope):
            scope_walker = [list(level) for level in scope_walker]  # walked again
        return self.payloads.consistently(
            lambda: self._lookup().unsatisfied(
                args_mapping,
                injected=self._injected_into(atom_name),
                scope=scope_walker,
                optional=optional_args or (),
            )
        )

    def _bring(self, names: Iterable[str]) -> None:
        """Fetch the results that a lookup is about to read, in one round trip."""
        wanted = [name for name in names if name != INJECTOR]
        with_results = [
            name
            for name in wanted
            if "E" in self.mirror.atom(name).failed
            or self.mirror.atom(name).detail.state in EXECUTE_STATES_WITH_RESULTS
        ]
        self.payloads.fetch(with_results, ("last", "failure"))

    def _lookup(self) -> Lookup:
        return Lookup(
            self.mirror.providers,
            self._transients,
            result_of=self._result_of,
            check=self._check_result,
        )

    def _check_result(self, atom_name: str) -> None:
        record = self.mirror.atom(atom_name)
        if (
            "E" not in record.failed
            and record.detail.state not in EXECUTE_STATES_WITH_RESULTS
        ):
            deny(record, EXECUTE_STATES_WITH_RESULTS)

    def _result_of(self, atom_name: str) -> Any:
        if atom_name == INJECTOR:
            return self.payloads.injected()
        return self._result(atom_name, "last", "failure", EXECUTE_STATES_WITH_RESULTS)

    def _injected_into(self, atom_name: str) -> list[Pairs]:
        persistent = self.mirror.atom(atom_name).detail.meta.get(META_INJECTED)
        return [self._injected.get(atom_name, {}), persistent or {}]


def _is_named(values: object) -> bool:
    """Tell whether this is a mapping whose keys can be names of values."""
    return isinstance(values, dict) and all(isinstance(name, str) for name in values)
