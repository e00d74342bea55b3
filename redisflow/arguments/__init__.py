"""Which value each argument of an atom gets: TaskFlow's rules, without any I/O.

A name is provided by atoms (all of a result, or the part of it at an index), by
the flow's persistent injector, or by transient values of this process. For an
atom's argument the first of these that applies wins::

    1  injected into the atom, transient, then persistent
    2  injected into the flow, transient or persistent: whichever was declared first
    3  atoms before it in the flow, nearest scope first
    4  nothing: the argument is left out if it is optional and *no* provider of its
       name exists; otherwise NotFound

A scope is one flow that encloses the atom: what runs before the atom in the
innermost flow, then what runs before that flow in the one around it, and so on.
Inside a scope the atom that stands last comes first. A provider that was IGNOREd
is passed over; one in any other state without a result ends the search with
NotFound, even if another provider of that scope has one. Of a scope's providers
the first whose result contains the index is taken, and no outer scope is asked.
Who knows that all atoms before this one have ended, as an engine does, may say so
(``settled=True``): then nobody behind the one taken is checked.

`providers` keeps who provides what, `scopes` says who is visible to whom, and
`lookup` joins the two with results, which it gets through callbacks:

* ``check(atom name)`` raises what reading the result would raise, TaskFlow's
  ``NotFound`` or ``DisallowedAccess``, and transfers nothing;
* ``result_of(atom name)`` gives the result. `Lookup.wanted` names in advance the
  atoms whose results will be read, so that one round trip can bring them all.

The cost of a lookup grows with the providers of that name in the nearest scope,
when settled with the logarithm of their number, and never with the flow.

Guaranteed: same values and same exception types as TaskFlow's own storage (tests
compare them on random flows), except that results of providers after the one
taken are not read. Not guaranteed: thread safety of `Providers` against a
concurrent `declare`; the storage's lock is there for that.
"""

from __future__ import annotations

from redisflow.arguments.lookup import Lookup
from redisflow.arguments.providers import (
    INJECTOR,
    TRANSIENT,
    Index,
    Injected,
    Origin,
    Provider,
    Providers,
    unsupplied,
)
from redisflow.arguments.scopes import Levels, Scope, Scopes

__all__ = [
    "INJECTOR",
    "TRANSIENT",
    "Index",
    "Injected",
    "Levels",
    "Lookup",
    "Origin",
    "Provider",
    "Providers",
    "Scope",
    "Scopes",
    "unsupplied",
]
