"""How signals are handled: within a context only, ignored ones left alone, deferred ones raised at the end."""

import signal
import threading

import pytest

from nerva.system.signals import deferred, handling, interrupt


@pytest.fixture(autouse=True)
def _handlers_as_before():
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_handler_is_there_within_the_context_only(number):
    before, seen = signal.getsignal(number), []
    with handling(lambda number, frame: seen.append(number)):
        signal.raise_signal(number)
    assert seen == [number]
    assert signal.getsignal(number) is before
    with pytest.raises(KeyboardInterrupt) as ended, handling(interrupt):
        signal.raise_signal(number)
    assert ended.value.args == (number,)
    assert signal.getsignal(number) is before


def test_an_ignored_signal_stays_ignored():
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with handling(interrupt):
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def test_a_deferred_signal_comes_at_the_end():
    done = []

    def work():
        with handling(interrupt), deferred():
            signal.raise_signal(signal.SIGTERM)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [True]


def test_other_threads_leave_handlers_alone():
    inside = []

    def work():
        with handling(interrupt), deferred():
            inside.append(signal.getsignal(signal.SIGTERM))

    before = signal.getsignal(signal.SIGTERM)
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert inside == [before]
