"""Runs one workload until the file `stop` appears in the directory of records.

usage: worker.py KIND NAME RECORDS MOUNT OTHER-MOUNT SEED
"""

import sys

from programs import Fio, Git, Sqlite
from recorder import Recorder
from tasks import Append, Counter, Files, Moves, Probe, Register

KINDS = {workload.name: workload for workload in (Files, Append, Register, Moves, Counter, Probe, Fio, Git, Sqlite)}


if __name__ == "__main__":
    kind, name, records, mount, other, seed = sys.argv[1:]
    KINDS[kind](Recorder(records, name), mount, other, seed).run()
