"""The kinds of files that tools/fuzz.py damages and loads, and one such file."""

import contextlib
import io
import json
import shutil
import traceback
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from drc_lab.errors import UserError

INTERESTING = (0, 1, -1, 127, 128, 255, 256, 2**15, 2**16, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1)
TEXT = ["; ", "\n\n", "#", "$", "@", "99(", ")", "|", "Comment:\n", "NaN", "-1", "[", "{", "null", "1e999", '"', "../",
        "${oc.env:HOME}", "_target_"]  # fmt: skip
TOKENS = [*(text.encode() for text in TEXT), b"\xff", b"\0", b"\x80", b"\xdd\xff\xff\xff\xff", b"(K\x01tR"]


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    Args:
        count: how many damaged files are loaded.
        make: writes valid samples into a folder; returns the path to load of each.
        load: loads a path, and uses what it gave.
    """

    count: int
    make: Callable[[Path], list[Path]]
    load: Callable[[Path, np.random.Generator], Any]


def damaged(data: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to four changes."""
    for _ in range(int(rng.integers(1, 5))):
        broken, at = bytearray(data), int(rng.integers(len(data) + 1))
        to = min(len(data), at + int(rng.choice([1, 2, 4, 8, 64, 512])))
        match int(rng.integers(8)):
            case 0 if at < len(data):
                broken[at] ^= 1 << int(rng.integers(8))
            case 1:
                broken[at:to] = rng.bytes(to - at)
            case 2:
                del broken[at:to]
            case 3:
                broken[at:at] = data[at:to] * int(rng.integers(1, 50))
            case 4:
                broken[at:at] = TOKENS[rng.integers(len(TOKENS))]
            case 5:
                broken = broken[:at]
            case 6:
                number, size = INTERESTING[rng.integers(len(INTERESTING))], int(rng.choice([1, 2, 4, 8]))
                order = ("little", "big")[rng.integers(2)]
                broken[at : at + size] = (number % 256**size).to_bytes(size, order)
            case 7:
                other = int(rng.integers(len(data) + 1))
                broken[at:to] = data[other : other + to - at]
        data = bytes(broken)
    return data


def damage(path: Path, rng: np.random.Generator) -> None:
    """Damages a file, or one of the files in a folder; of an archive often a member, so that its checksum is right."""
    if path.is_dir():
        files = sorted(each for each in path.rglob("*") if each.is_file())
        path = files[rng.integers(len(files))]
    data = path.read_bytes()
    if not zipfile.is_zipfile(io.BytesIO(data)) or rng.random() < 0.3:
        path.write_bytes(damaged(data, rng))
        return
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        members = {member.filename: archive.read(member) for member in archive.infolist()}
        methods = {member.filename: member.compress_type for member in archive.infolist()}
    name = sorted(members)[rng.integers(len(members))]
    if (told := [each for each in members if each.endswith("data.pkl")]) and rng.random() < 0.7:
        name = told[0]
    members[name] = damaged(members[name], rng)
    with zipfile.ZipFile(path, "w") as archive:
        for each, content in members.items():
            archive.writestr(each, content, methods[each])


# --- kinds ---


FOREIGN = "foreign.txt"  # a level file in another alphabet


def level_rows(rng: np.random.Generator, size: int = 10) -> list[str]:
    """A level with a box that one push puts onto its target."""
    rows = [["#"] * size, *([*"#", *" " * (size - 2), "#"] for _ in range(size - 2)), ["#"] * size]
    row, column = rng.integers(1, size - 1), rng.integers(1, size - 3)
    for step, symbol in enumerate("@$."):
        rows[row][column + step] = symbol
    return ["".join(each) for each in rows]


def make_levels(folder: Path) -> list[Path]:
    rng = np.random.default_rng(0)
    boxoban = "".join(f"; {n}\n" + "\n".join(level_rows(rng)) + "\n\n" for n in range(4))
    xsb = "; a title\n" + "\n".join(level_rows(rng, 7)) + "\n\nTitle: another\n #####\n #@$.#\n #####\n"
    xsb += "Comment:\nx\nComment-End:\n"
    coded = "3#|#@2#|#-$.#|5#\n\n" + "\n".join(level_rows(rng, 5)) + "\n"
    foreign = "XXXXX\nXo&tX\nXXXXX\n"
    for name, text in (("000.txt", boxoban), ("a.xsb", xsb), ("b.sok", coded), (FOREIGN, foreign)):
        (folder / name).write_text(text)
    return sorted(folder.iterdir())


def load_levels(path: Path, rng: np.random.Generator) -> None:
    from drc_lab.envs.sokoban.files import LevelFiles
    from drc_lab.envs.sokoban.level import Level
    from drc_lab.envs.sokoban.step import Rules, SokobanBatch

    symbols, invalid = "X=# o=@ &=$ t=." if path.name == FOREIGN else None, ("error", "skip")[rng.integers(2)]
    files = LevelFiles(path, symbols=symbols, invalid_levels=invalid)
    levels = files[:]
    for tiles in levels.tiles:
        Level(tiles)  # checks it
    batch = SokobanBatch(len(levels), levels.height, levels.width, Rules())
    batch.load(np.arange(len(levels)), levels, np.arange(len(levels)))
    for _ in range(8):
        batch.step(rng.integers(0, 4, len(levels)))


def make_banks(folder: Path) -> list[Path]:
    from drc_lab.envs.ricochet.bank import Bank, save_bank

    count = 200
    walls = np.zeros((count, 4, 6), np.uint8)
    for side, edge in enumerate((np.s_[:, 0], np.s_[:, -1], np.s_[:, :, 0], np.s_[:, :, -1])):
        walls[edge] |= 1 << side
    robots, ones = np.array([[0, 9, -1]] * count), np.ones(count, np.int64)
    save_bank(folder / "a.npz", Bank(walls, robots, 5 * ones, 0 * ones, ones, ones))
    return [folder / "a.npz"]


def load_bank(path: Path, rng: np.random.Generator) -> None:
    from drc_lab.envs.ricochet.bank import read_bank
    from drc_lab.envs.ricochet.step import RicochetBatch, Rules

    bank = read_bank(path)
    count, height, width = bank.walls.shape
    batch = RicochetBatch(count, height, width, bank.robots.shape[1], Rules())
    batch.load(np.arange(count), bank, np.arange(count))
    for _ in range(8):
        batch.step(rng.integers(0, 4 * bank.robots.shape[1], count))


def make_weights(folder: Path) -> list[Path]:
    from drc_lab.models.drc import DRCPolicy
    from drc_lab.models.published import save_flax
    from drc_lab.models.resnet import ResNetPolicy

    sizes = {"hidden_channels": 4, "num_layers": 1, "repeats_per_step": 1, "proj_dim": 8}
    wiring = {"encoding_to_head": "add", "boundary_ring": "outside", "top_to_bottom": True, "pool_projection": "full"}
    save_flax(DRCPolicy((3, 5, 5), 4, **sizes, **wiring).eval(), folder / "cp_drc")
    save_flax(ResNetPolicy((3, 5, 5), 4, channels=(4,), kernel_sizes=(3,), proj_dim=8).eval(), folder / "cp_resnet")
    return [folder / "cp_drc", folder / "cp_resnet"]


def load_weights(path: Path, rng: np.random.Generator) -> None:
    from drc_lab.models.published import load

    policy = load(path)
    assert all(bool(weight.isfinite().all()) for weight in policy.parameters())


def make_checkpoints(folder: Path) -> list[Path]:
    import torch

    from drc_lab.models.drc import DRCPolicy
    from drc_lab.models.mlp import MLPPolicy

    drc = {"_target_": "drc_lab.models.drc.DRCPolicy", "hidden_channels": 4, "num_layers": 1, "proj_dim": 8}
    ricochet = {"id": "drc_lab/RicochetRobots-v0", "height": 4, "width": 4, "num_robots": 2, "max_steps": 9}
    evaluation = {"split": "valid", "num_levels": 9, "env": {}, "board": None}
    policies = {
        "drc.ckpt": (DRCPolicy((8, 4, 4), 8, hidden_channels=4, num_layers=1, proj_dim=8), drc, ricochet),
        "mlp.ckpt": (MLPPolicy((4,), 2), {"_target_": "drc_lab.models.mlp.MLPPolicy"}, {"id": "CartPole-v1"}),
    }
    for name, (policy, config, env) in policies.items():
        weights = {f"policy.{key}": weight for key, weight in policy.state_dict().items()}
        config = {"env": env, "policy": config, "evaluation": evaluation, "seed": 0, "folder": "a"}
        torch.save({"config": config, "state_dict": weights, "frames": 640}, folder / name)
    return sorted(folder.iterdir())


def load_checkpoint(path: Path, rng: np.random.Generator) -> None:
    from drc_lab.learning.checkpoints import load_policy
    from drc_lab.models.policy import Policy

    policy, _ = load_policy(path)
    assert isinstance(policy, Policy) and policy.origin is not None


def make_recordings(folder: Path) -> list[Path]:
    import pandas as pd
    from safetensors.numpy import save_file

    folder = folder / "recording"
    folder.mkdir()
    about = {"game": "drc_lab/Sokoban-v0", "height": 5, "width": 5, "key": "a"}
    (folder / "recording.json").write_text(json.dumps(about))
    rows, moments = 5, 7
    index = pd.DataFrame({"level": [0, 0, 0, 1, 1], "step": [0, 1, 2, 0, 1], "thought": -1, "action": 1, "waits": False,
                          "solved": True, "length": [3, 3, 3, 2, 2], "optimal": -1})  # fmt: skip
    index.to_parquet(folder / "0000000.parquet", index=False)
    rng = np.random.default_rng(0)
    tensors = {"obs": np.zeros((rows, 3, 5, 5), np.uint8), "0.0.h": rng.random((rows, 4, 5, 5), np.float32),
               "returns": rng.random(moments), "boards.tiles": np.zeros((moments, 25), np.uint8)}  # fmt: skip
    save_file(tensors, folder / "0000000.safetensors")
    return [folder]


def load_recording(path: Path, rng: np.random.Generator) -> None:
    from drc_lab.interpretation.recording import Recording

    recording = Recording.read(path)
    for name in recording.names:
        assert len(recording.tensor(name)) == len(recording.index)
    assert len(recording.episodes) == recording.index["level"].nunique() and recording.board is not None


def make_journals(folder: Path) -> list[Path]:
    from drc_lab.tracking.journal import CRC, line_of

    operations = [
        {"op": "run", "experiment_id": "1", "run_id": "a", "uri": "sqlite:///mlflow.db"},
        {"op": "params", "values": {"seed": 1}},
        {"op": "metrics", "step": 640, "values": {"train/return": 0.5, "loss/policy": float("nan")}},
        {"op": "checkpoint", "path": "checkpoints/last.ckpt", "step": 640, "metrics": {}},
        {"op": "artifact", "path": "config.yaml", "folder": ""},
        {"op": "drop", "name": "last.ckpt"},
        {"op": "dataset", "name": "levels", "digest": "a", "context": "train"},
        {"op": "child", "name": "b", "status": "FINISHED"},
        {"op": "sent", "position": 0},
        {"op": "status", "status": "FINISHED"},
    ]
    lines = [line_of({**each, "time": 0}) for each in operations]
    (folder / "new.jsonl").write_bytes(b"".join(lines))
    (folder / "old.jsonl").write_bytes(b"".join(line.split(CRC)[0] + b"}\n" for line in lines))
    return [folder / "new.jsonl", *[folder / "old.jsonl"] * 3]


def load_journal(path: Path, rng: np.random.Generator) -> None:
    from drc_lab.tracking.journal import Journal

    with Journal(path) as journal:
        assert journal.unsent in (True, False) and journal.last_step("train/") >= -1
        journal.add("metrics", step=2**40, values={"train/return": 1.0})


KINDS = {
    "levels": Kind(20_000, make_levels, load_levels),
    "banks": Kind(5_000, make_banks, load_bank),
    "flax": Kind(2_000, make_weights, load_weights),
    "checkpoints": Kind(2_000, make_checkpoints, load_checkpoint),
    "recordings": Kind(1_000, make_recordings, load_recording),
    "journals": Kind(2_000, make_journals, load_journal),
}


def samples_of(name: str, place: Path) -> list[Path]:
    """Writes the valid files of a kind into a new folder ``place/samples``, and returns the paths to load."""
    folder = place / "samples"
    folder.mkdir()
    return KINDS[name].make(folder)


def one_case(name: str, samples: list[Path], folder: Path, seed: int, number: int) -> str:
    """Damages one of the samples in a copy of their folder, and loads it; as `loaded`."""
    rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(samples[0].parent, folder)
    path = folder / samples[rng.integers(len(samples))].name
    damage(path, rng)
    return loaded(name, path, int(rng.integers(2**32)))


def loaded(name: str, path: Path, seed: int) -> str:
    """Loads a path. Returns "valid", "refused", or what went wrong."""
    try:
        with contextlib.redirect_stderr(io.StringIO()):  # notes about what was left out
            KINDS[name].load(path, np.random.default_rng(seed))
    except UserError as error:
        return "refused" if "\n" not in str(error) else f"several lines: {str(error)[:200]!r}"
    except BaseException as error:  # of any type: none of them may come out of a loader
        place = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {place.filename}:{place.lineno}: {str(error)[:150]!r}"
    return "valid"
