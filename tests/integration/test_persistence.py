"""The persistence backend, as TaskFlow's own code uses it."""

from __future__ import annotations

import contextlib
import datetime as dt
import uuid

import pytest
from taskflow import engines, exceptions, states, task
from taskflow.patterns import linear_flow
from taskflow.persistence import backends, models
from taskflow.utils import persistence_utils

from redisflow import RedisBackend, SharedEngine, Storage
from redisflow.errors import ConfigError
from tests.support.installed import announce_plugins


class Add(task.Task):
    """Adds two numbers."""

    default_provides = "sum"

    def execute(self, one, two):
        """Return their sum."""
        return one + two


def make_flow(name="sums"):
    """Make a flow of one task; found by its name as a factory."""
    return linear_flow.Flow(name).add(Add())


@pytest.fixture(autouse=True, scope="module")
def _plugins():
    """Let TaskFlow find the backend and the engine."""
    announce_plugins()


@pytest.fixture
def backend(url):
    """Fetch the backend as a user of TaskFlow does."""
    with contextlib.closing(backends.fetch({"connection": url})) as backend:
        yield backend


@pytest.mark.parametrize("scheme", ["redis", "rediss", "unix", "redisflow"])
def test_each_scheme_has_its_entry_point(scheme):
    """TaskFlow finds the backend by every scheme that it serves, and does no I/O."""
    rest = "/socket" if scheme == "unix" else "" if scheme == "redisflow" else "db1"
    conf = {"connection": f"{scheme}://{rest}?namespace=n"}
    with contextlib.closing(backends.fetch(conf)) as backend:
        assert isinstance(backend, RedisBackend)
        assert backend.keys.namespace == "n"


def new_book(*flow_names):
    """Make a logbook with flows, none of it stored."""
    book = models.LogBook("book", uuid=str(uuid.uuid4()))
    for name in flow_names:
        book.add(models.FlowDetail(name, str(uuid.uuid4())))
    return book


def test_fetch_finds_it_by_the_scheme(backend, connection):
    """TaskFlow's own fetch gives our backend, which works without upgrade()."""
    assert isinstance(backend, RedisBackend)
    assert connection.backend is backend
    connection.validate()
    connection.upgrade()
    assert list(connection.get_logbooks()) == []


def test_a_logbook_comes_back(connection):
    """Name, metadata, times and flows are those that were saved."""
    book = new_book("f1", "f2")
    book.meta = {"key": (1, b"two")}
    book.created_at = dt.datetime(2024, 2, 29, 12, 0, 1)  # noqa: DTZ001 - as TaskFlow's
    saved = connection.save_logbook(book)
    found = connection.get_logbook(book.uuid)
    for one in (saved, found):
        assert (one.name, one.uuid, one.meta) == ("book", book.uuid, book.meta)
        assert one.created_at == book.created_at
        assert [(flow.name, flow.uuid) for flow in one] == [
            (flow.name, flow.uuid) for flow in book
        ]
    assert [other.uuid for other in connection.get_logbooks()] == [book.uuid]


def test_saving_again_merges(connection):
    """Metadata and flows that others have added to a logbook stay."""
    book = new_book("f1")
    book.meta = {"a": 1, "b": 1}
    connection.save_logbook(book)
    other = models.LogBook("book", uuid=book.uuid)
    other.meta = {"b": 2, "c": 2}
    other.add(models.FlowDetail("f2", str(uuid.uuid4())))
    connection.save_logbook(other)
    found = connection.get_logbook(book.uuid)
    assert found.meta == {"a": 1, "b": 2, "c": 2}
    assert {flow.name for flow in found} == {"f1", "f2"}


def test_lazy_reading_leaves_out(connection, backend):
    """A lazy logbook has no flows, a lazy flow has no atoms."""
    book = new_book("f1")
    connection.save_logbook(book)
    (detail,) = book
    storage = Storage(models.FlowDetail("f1", detail.uuid), backend)
    storage.ensure_atom(Add("a"))
    storage.save("a", 5)
    assert len(connection.get_logbook(book.uuid, lazy=True)) == 0
    lazy = connection.get_flow_details(detail.uuid, lazy=True)
    assert (lazy.name, lazy.state, len(lazy)) == ("f1", None, 0)
    (whole,) = connection.get_flow_details(detail.uuid)
    assert (whole.name, whole.state, whole.results) == ("a", states.SUCCESS, 5)
    (flow,) = connection.get_flows_for_book(book.uuid)
    assert flow.uuid == detail.uuid
    (atom,) = connection.get_atoms_for_flow(detail.uuid)
    assert atom.uuid == whole.uuid


def test_update_flow_details_merges(connection, backend):
    """Metadata is merged into what is stored, and the state is not lost."""
    book = new_book("f1")
    connection.save_logbook(book)
    (detail,) = book
    stale = models.FlowDetail("f1", detail.uuid)
    storage = Storage(models.FlowDetail("f1", detail.uuid), backend)
    storage.update_flow_metadata({"a": 1, "b": 1})
    storage.change_flow_state(states.RUNNING)
    stale.meta = {"b": 2}
    updated = connection.update_flow_details(stale)
    assert updated.meta == {"a": 1, "b": 2}
    assert updated.state == storage.get_flow_state() == states.RUNNING


def test_a_logbook_saved_again_changes_no_flow(connection, backend):
    """A flow that is on is not put back by someone's old copy of its logbook."""
    book = new_book("f1")
    connection.save_logbook(book)
    (detail,) = book
    storage = Storage(models.FlowDetail("f1", detail.uuid), backend)
    storage.ensure_atom(Add("a"))
    storage.save("a", 5)
    storage.change_flow_state(states.RUNNING)
    connection.save_logbook(book)
    assert storage.get_flow_state() == states.RUNNING
    assert storage.get("a") == 5


def test_a_url_in_place_of_a_configuration_is_told():
    """The error names what takes a URL."""
    with pytest.raises(ConfigError, match="from_url takes a URL"):
        RedisBackend("redis://db1")


def test_an_unreachable_server_is_a_storage_failure():
    """TaskFlow's exception says that the server is not there."""
    conf = {"connection": "redis://127.0.0.1:1/0?deadline_s=0.1"}
    with contextlib.closing(backends.fetch(conf)) as backend:
        connection = backend.get_connection()
        with pytest.raises(exceptions.StorageFailure):
            connection.save_logbook(new_book())


def test_temporary_details(backend):
    """TaskFlow's helpers for logbooks and flow details work."""
    book, detail = persistence_utils.temporary_flow_detail(backend)
    found = backend.get_connection().get_logbook(book.uuid)
    assert [flow.uuid for flow in found] == [detail.uuid]


def test_a_flow_is_loaded_again_from_its_factory(url, backend):
    """The factory is stored with the flow; engine and flow come back from it."""
    store = {"one": 1, "two": 2}
    conf = {"connection": url}
    engine = engines.load_from_factory(
        make_flow,
        factory_kwargs={"name": "from-factory"},
        engine="redisflow",
        backend=conf,
        store=store,
    )
    assert isinstance(engine, SharedEngine)
    detail = backend.get_connection().get_flow_details(engine.storage.flow_uuid)
    flow = engines.flow_from_detail(detail)
    assert (flow.name, len(flow)) == ("from-factory", 1)
    again = engines.load_from_detail(detail, engine="redisflow", backend=conf)
    again.run()
    assert again.storage.fetch("sum") == 3
    assert engine.storage.fetch("sum") == 3
    for one in (engine, again):
        one.storage.backend.close()


def test_run_of_taskflow(url):
    """``taskflow.engines.run`` needs no import of redisflow."""
    found = engines.run(
        make_flow(),
        engine="redisflow",
        backend={"connection": url},
        store={"one": 1, "two": 4},
    )
    assert found == {"one": 1, "two": 4, "sum": 5}
