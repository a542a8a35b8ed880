"""Draw networks, data, methods and calls at random, and check what must hold of all of them.

    python -m tests.stress --minutes 5              # new cases, of a seed that it prints
    python -m tests.stress --seed 3 --cases 200     # the first cases of a seed
    python -m tests.stress --seed 3 --case 17       # one of them again, with all that was drawn

Signals come after a time, so that a case of the call `interrupted` may need several runs to be found again.
"""

import argparse
import faulthandler
import json
import secrets
import subprocess
import sys
import time
from collections import Counter

sys.path.append(sys.path.pop(0))  # `-m` puts the present folder first: an installed nerva goes before its sources

from .run import run_case, told

LONGEST = 120  # seconds of a case, after which it counts as hung


def main():
    parser = argparse.ArgumentParser(prog="python -m tests.stress", description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0, help="to draw new cases")
    parser.add_argument("--cases", type=int, help="to draw, instead of minutes")
    parser.add_argument("--seed", type=int, help="of the cases; by default a random one")
    parser.add_argument("--case", type=int, help="the only case to run, in this process")
    parser.add_argument("--start", type=int, default=0, help="the first case")
    parser.add_argument("--call", help="the only call of the cases, such as fit")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    if options.case is not None:
        return run_one(options)
    return work(options) if options.worker else watch(options)


def run_one(options):
    faulthandler.enable()
    result = run_case(options.seed, options.case, options.call)
    print(told(result))
    return int(result.kind == "defect")


def work(options):
    """Run cases until the time is over, and tell of each in a line of JSON."""
    end, number = time.monotonic() + 60 * options.minutes, options.start
    while number < options.cases if options.cases is not None else time.monotonic() < end:
        print(json.dumps({"begun": number}), flush=True)
        faulthandler.dump_traceback_later(LONGEST, exit=True)
        result = run_case(options.seed, number, options.call)
        faulthandler.cancel_dump_traceback_later()
        print(json.dumps(result._asdict()), flush=True)
        number += 1
    return 0


def watch(options):
    """Run cases in a process of its own, and a new one where it ends before its time; print what was found."""
    end, number = time.monotonic() + 60 * options.minutes, options.start
    kinds, words, found = Counter(), Counter(), []
    print(f"seed {options.seed}", flush=True)
    while True:
        minutes = max(0.0, (end - time.monotonic()) / 60)
        command = [sys.executable, "-X", "faulthandler", "-m", "tests.stress", "--worker", f"--seed={options.seed}"]
        command += [f"--start={number}", f"--minutes={minutes}"]
        command += [f"--call={options.call}"] if options.call else []
        command += [f"--cases={options.cases}"] if options.cases is not None else []
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        for line in process.stdout:
            told_of = json.loads(line)
            number = told_of.get("begun", number)
            if "kind" in told_of:
                kinds[told_of["kind"]] += 1
                words.update([f"{told_of['kind']}: {told_of['words']}"] if told_of["kind"] == "refused" else [])
                words.update(f"warned: {text}" for text in told_of["warned"])
                if told_of["kind"] == "defect":
                    found.append(number)
                    print(f"case {number} ({told_of['call']}): {told_of['words']}", flush=True)
        if process.wait() == 0:
            break
        found.append(number)
        kinds["defect"] += 1
        print(f"case {number}: the process ended with code {process.returncode}", flush=True)
        number += 1
    for text, count in words.most_common(40):
        print(f"{count:6d}  {text}")
    print(json.dumps({"seed": options.seed, "cases": sum(kinds.values()), **kinds}))
    for each in found[:20]:
        print(
            f"again: python -m tests.stress --seed {options.seed} --case {each}"
            + (f" --call {options.call}" if options.call else "")
        )
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
