"""Which process runs a trial."""

import os
import subprocess
import sys
import time

from nerva.experiments.owners import is_lost, owner, started


def test_a_process_that_runs_is_not_lost_and_one_that_ended_is():
    assert not is_lost(owner(), seen=0, lost_after=1)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    who = {**owner(), "process": process.pid, "started": started(process.pid)}
    assert not is_lost(who, seen=0, lost_after=1)
    process.kill()
    while started(process.pid) is not None:  # killed, and not yet waited for: it does not run any more
        time.sleep(0.01)
    assert is_lost(who, seen=time.time(), lost_after=1e9)
    process.communicate()
    assert is_lost(who, seen=time.time(), lost_after=1e9)


def test_another_process_of_the_same_number_is_another_one():
    assert is_lost({**owner(), "started": "1"}, seen=time.time(), lost_after=1e9)


def test_a_process_of_another_machine_is_lost_after_a_time_without_a_sign():
    who = {**owner(), "machine": "elsewhere"}
    assert not is_lost(who, seen=time.time() - 50, lost_after=60)
    assert is_lost(who, seen=time.time() - 70, lost_after=60)
    assert is_lost(None, seen=time.time(), lost_after=60)


def test_this_process_has_a_start():
    assert int(started(os.getpid())) > 0
    assert started(2**22 + 1) is None
