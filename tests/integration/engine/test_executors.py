"""Where tasks run, how many at a time, and in which order."""

from __future__ import annotations

import threading
from concurrent import futures

import pytest
from taskflow.patterns import unordered_flow
from taskflow.persistence import models

from redisflow import SharedEngine
from redisflow.errors import ConfigError
from tests.support.noting import Call, Note, line


def test_threads_run_tasks_at_the_same_time(load):
    """Tasks that wait for each other come to an end."""
    barrier = threading.Barrier(4)
    flow = unordered_flow.Flow("f")
    flow.add(*[Call(f"t{n}", lambda: barrier.wait(20) >= 0) for n in range(4)])
    load(flow, executor="threads", max_workers=4).run()


def test_max_workers_is_the_most(load):
    """No more tasks run at a time than were asked for."""
    lock, now, most = threading.Lock(), set(), []
    pair = threading.Barrier(2)

    def work():
        with lock:
            now.add(threading.get_ident())
            most.append(len(now))
        pair.wait(20)
        with lock:
            now.discard(threading.get_ident())

    flow = unordered_flow.Flow("f").add(*[Call(f"t{n}", work) for n in range(8)])
    load(flow, executor="threads", max_workers=2).run()
    assert max(most) == 2


def test_a_given_executor_is_used_and_left_running(load):
    """Tasks run in its threads; it takes work afterwards."""
    with futures.ThreadPoolExecutor(2, thread_name_prefix="mine") as pool:
        name = Call("a", lambda: threading.current_thread().name, provides="name")
        engine = load(line(name), executor=pool)
        engine.run()
        assert engine.storage.fetch("name").startswith("mine")
        assert pool.submit(int).result() == 0


def test_serial_tasks_run_in_the_calling_thread(load):
    """The default executor starts no thread for them, whatever max_workers says."""
    engine = load(line(Call("a", threading.get_ident, provides="x")), max_workers=3)
    engine.run()
    assert engine.storage.fetch("x") == threading.get_ident()


@pytest.mark.parametrize(
    "options",
    [
        {"executor": "processes"},
        {"executor": 3},
        {"executor": "threads", "max_workers": 0},
        {"lease_s": 0},
        {"lease_s": "soon"},
        {"lease_s": "inf"},
        {"lease_s": "nan"},
        {"max_attempts": float("inf")},
        {"max_attempts": 0},
        {"durability": "hope"},
    ],
    ids=str,
)
def test_options_that_cannot_be_used(backend, notes, options):
    """A wrong option is one clear error."""
    with pytest.raises(ConfigError):
        SharedEngine(Note("a", notes), models.FlowDetail("f", "u"), backend, options)


def test_priorities(load, notes):
    """Of what is ready the highest priority is taken first."""
    flow = unordered_flow.Flow("f")
    for number in (3, 1, 4, 0, 5, 2):
        noted = Note(f"t{number}", notes)
        noted.priority = number
        flow.add(noted)
    load(flow).run()
    assert notes == ["t5", "t4", "t3", "t2", "t1", "t0"]
