"""Runs the system tests: real daemons, real mounts, ordinary tools, kill -9.

usage: run.py --program PATH [NAME…]    NAME: part of a test's name
"""

import argparse
import os
import signal
import sys
import time
import traceback

sys.path.append(os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Crash"))

from cluster import Cluster
import test_agreement
import test_conformance
import test_crash_runs
import test_databases
import test_failures
import test_input
import test_locks
import test_lossydisk
import test_security
import test_software
import test_space
import test_tools
import test_two_mounts

MODULES = [
    test_input, test_tools, test_two_mounts, test_agreement, test_conformance, test_locks, test_software, test_databases, test_failures, test_security,
    test_space, test_lossydisk, test_crash_runs,
]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--program", required=True)
    parser.add_argument("names", nargs="*")
    arguments = parser.parse_args()
    Cluster.program = arguments.program
    tests = [(f"{module.__name__}.{name}", function) for module in MODULES for name, function in vars(module).items() if name.startswith("test_") and callable(function)]
    chosen = [(name, function) for name, function in tests if not arguments.names or any(part in name for part in arguments.names)]
    if not chosen:
        sys.exit(f"no test has a name like {arguments.names}")
    # Whoever ends this early finds no daemons and mounts left.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    failed = []
    for name, function in chosen:
        start = time.monotonic()
        try:
            function()
            print(f"ok    {name} ({time.monotonic() - start:.1f} s)", flush=True)
        except Exception:
            failed.append(name)
            print(f"FAILED {name} ({time.monotonic() - start:.1f} s)", flush=True)
            traceback.print_exc(file=sys.stdout)
            sys.stdout.flush()
    for name in failed:
        print(f"failed: {name}")
    print(f"{len(chosen) - len(failed)} passed, {len(failed)} failed")
    sys.exit(1 if failed else 0)


main()
