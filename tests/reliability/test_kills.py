"""A training that is killed again and again leaves what one does that never was. ``pytest -s`` prints where it was hit.

Unlike `tests/tasks/test_interruptions.py`, which names its moments, half of these come by the clock and half in the
middle of a write: the kernel kills the process when a file has so many bytes.
"""

import collections
import random
import signal
import subprocess
import time
from contextlib import suppress

import pytest
from commands import run, start
from faults import in_a_line, in_a_new_file
from trainings import ALL_STATE, recorded, same

SEED, KILLS = 0, 40
CHECKPOINT = "drc_lab.learning.checkpointing:AtomicCheckpointIO.save_checkpoint"


def in_writing(chance, size):
    """A kill in the writing of a checkpoint (of ``size`` bytes) or of the journal, as arguments of an interruption."""
    return chance.choice(
        [
            (CHECKPOINT, chance.randint(1, 6), in_a_new_file(chance.randrange(size))),
            ("drc_lab.tracking.journal:Journal.add", chance.randint(2, 20), in_a_line(chance.randrange(1, 60))),
            ("os:fsync", chance.randint(1, 20), signal.SIGKILL),
            ("os:replace", chance.randint(1, 10), signal.SIGKILL),
            ("os:link", chance.randint(1, 4), signal.SIGKILL),
        ]
    )


def hit(folder):
    """What a killed process left unfinished."""
    journal = folder / "tracking.jsonl"
    if journal.is_file() and not journal.read_bytes().endswith(b"\n"):
        return "in a line of the journal"
    parts = [path for path in folder.rglob(".unfinished-*/*") if path.suffix == ".ckpt"]
    return "in a checkpoint" if parts else "elsewhere"


@pytest.mark.slow
def test_killed_at_40_random_moments_a_training_leaves_what_one_does_that_never_was(tmp_path):
    (tmp_path / "whole").mkdir()
    run(tmp_path, "--help")  # what forks share is imported before the clock starts
    began = time.monotonic()
    whole = run(tmp_path / "whole", *ALL_STATE)
    seconds = time.monotonic() - began
    assert whole.returncode == 0, whole.stderr
    reference = recorded(tmp_path / "whole/run")
    size = (tmp_path / "whole/run/checkpoints/last.ckpt").stat().st_size
    chance, hits, chain, kills = random.Random(SEED), collections.Counter(), 0, 0
    while kills < KILLS:
        folder, chain = tmp_path / f"chain{chain}", chain + 1
        folder.mkdir()
        while True:
            fault, wait = (), None
            if kills < KILLS:
                fault, wait = (in_writing(chance, size), None) if kills % 2 else ((), chance.uniform(0, seconds))
            with start(folder, *ALL_STATE, interruption=fault) as process, suppress(subprocess.TimeoutExpired):
                process.communicate(wait or 120)
            if process.returncode == 0:
                break
            assert process.returncode in (-signal.SIGKILL, -signal.SIGXFSZ), process.communicate()
            kills += 1
            hits["by the clock" if wait else fault[0].rpartition(":")[2], hit(folder / "run")] += 1
        same(recorded(folder / "run"), reference, folder.name)
    print(f"\n{kills} kills of {chain} trainings, seed {SEED}")
    for (place, where), times in sorted(hits.items()):
        print(f"{times:4}  {place}, {where}")
    assert sum(times for (place, _), times in hits.items() if place != "by the clock") >= KILLS // 2 - 1
    assert hits.keys() >= {
        ("AtomicCheckpointIO.save_checkpoint", "in a checkpoint"),
        ("Journal.add", "in a line of the journal"),
    }
