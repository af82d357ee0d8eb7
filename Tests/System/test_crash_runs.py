"""The short form of Scripts/crash-run: the main faults once each, under load."""

import json
import os
import sys

from cluster import Cluster, check, run

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "Crash", "crash_run.py")


def crash_run(*words):
    return run(sys.executable, SCRIPT, "--program", Cluster.program, "--disk-program", Cluster.companion("lossydisk"), *words, ok=None, timeout=900)


def test_main_faults_once():
    code, output, errors = crash_run("--short", "--seed", 3)
    print(output[-6000:])
    check(code == 0, f"the crash run failed: {errors[-2000:]}")
    summary = json.loads(output.splitlines()[-1])
    check(summary["in_flight_at_kills"] > 0 and summary["kills"] >= 5, f"too little was under way: {summary}")
    check(sum(summary["acknowledged"].values()) > 500, f"too little was acknowledged: {summary}")
    check(summary["acked_then_lost"] == summary["wrong_bytes"] == summary["stale_reads"] == 0, f"{summary}")


def test_loss_is_noticed():
    """A run in which all disks lie about what they synced and then lose power must end with losses."""
    code, output, errors = crash_run("--seed", 4, "--faults", "lie-all", "--minutes", "0.1")
    summary = json.loads(output.splitlines()[-1])
    check(code == 1 and summary["result"] == "failed", f"the run did not fail: {output[-3000:]}")
    check(summary["acked_then_lost"] > 0, f"the losses were not noticed: {output[-3000:]}")


def test_wrong_arguments_of_crash_runs():
    for words, reason in [
        (["--seed", "x"], "seed"), (["--minutes", "0"], "minutes"), (["--faults", "nonsense"], "nonsense"), (["--nonsense"], "nonsense"), (["x"], "x"),
    ]:
        code, output, errors = crash_run(*words)
        check(code == 2 and reason in errors and errors.count("\n") == 1 and not output, f"{words}: {code} {output!r} {errors!r}")
