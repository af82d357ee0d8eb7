"""Two mounts do random things to the same few names at the same time. When both have done so, both show the same: names, attributes, contents, and
what they hold open."""

import json
import os
import random
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from cluster import Cluster, check

PROGRAM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "agreement.py")


class Sides:
    def __init__(self, trees, seed):
        self.processes = [
            subprocess.Popen([sys.executable, PROGRAM, tree, str(2 * seed + number)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
            for number, tree in enumerate(trees)
        ]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def ask(self, *requests):
        """All at once."""
        for process, request in zip(self.processes, requests):
            process.stdin.write(json.dumps(request) + "\n")
            process.stdin.flush()
        return [json.loads(process.stdout.readline()) for process, _ in zip(self.processes, requests)]


def differences(answers):
    for name, value in answers[0]["names"].items():
        if value != answers[1]["names"][name]:
            yield f"{name}: {value} and {answers[1]['names'][name]}"
    known = {}
    for inode, value in answers[0]["inodes"] + answers[1]["inodes"]:
        if known.setdefault(inode, value) != value:
            yield f"inode {inode}: {known[inode]} and {value}"


def agree(trees, rounds, beside=lambda number: None):
    """`beside` is called with the number of each round while that is under way."""
    seed = random.SystemRandom().randrange(1 << 32)
    choices = random.Random(seed)
    history = []
    with Sides(trees, seed) as sides, ThreadPoolExecutor(1) as pool:
        for number in range(rounds):
            other = pool.submit(beside, number)
            count = choices.choice([1, 1, 2, 3, 6])
            history.append(sides.ask(*({"operations": count, "delay": choices.random() * 0.0005} for _ in trees)))
            other.result()
            found = list(differences(sides.ask({}, {})))
            check(not found, f"seed {seed}, round {number}:\n" + "\n".join(found + [json.dumps(entry) for entry in history[-4:]]))


def test_two_mounts_agree():
    with Cluster() as cluster:
        agree([cluster.second_mount(1), cluster.second_mount(2)], 1200)
        cluster.verify()


def test_two_mounts_agree_while_daemons_are_killed():
    def disturb(number):
        if number % 40 == 20:
            cluster.kill(number // 40 % 3 + 1)
        elif number % 40 == 30:
            cluster.up()

    with Cluster() as cluster:
        agree([cluster.second_mount(1), cluster.second_mount(2)], 360, disturb)
        cluster.wait_until_whole()
        cluster.verify()
