"""Recordings: rows and tensors are what the policy computed when it played, and go on where they stopped."""

import json

import numpy as np
import pandas as pd
import pytest
import small_sokoban
import torch
from small_drc import small

from drc_lab.errors import ConfigError, UserError
from drc_lab.evaluation.play.thinking import Thinking
from drc_lab.interpretation.recorder import bytes_of, record
from drc_lab.interpretation.recording import DECIDES, Recording

LEVELS = 7


@pytest.fixture(scope="module")
def policy():
    return small(obs_shape=(7, 5, 5), num_layers=2, repeats_per_step=2).eval()


def make_env(num_envs=3):
    return small_sokoban.make_env(num_envs, LEVELS, split="valid", longest=6)


ABOUT = {"game": "drc_lab/Sokoban-v0", "height": 7, "width": 7, "weights": "of this test"}


def recorded(policy, folder, names=("*.*.h", "0.1.c", "value"), **kwargs):
    done = list(record(policy, make_env(), names, LEVELS, folder, ABOUT, **kwargs))
    assert sum(done) == LEVELS
    return Recording.read(folder)


def test_each_row_is_what_the_policy_computes_there(policy, tmp_path):
    """Run again from the observations of each episode, carry and all."""
    recording = recorded(policy, tmp_path)
    assert set(recording.names) == {"0.0.h", "1.0.h", "0.1.h", "1.1.h", "0.1.c", "value"}
    assert recording.index["level"].nunique() == LEVELS
    for _, rows in recording.index.groupby("level"):
        carry = None
        assert rows["step"].tolist() == list(range(len(rows))) and (rows["length"] == len(rows)).all()
        for row in rows.index:
            with torch.no_grad():
                out, carry = policy(torch.from_numpy(recording.tensors["obs"][row][None]), carry)
            torch.testing.assert_close(
                torch.from_numpy(recording.tensor("1.1.h")[row]), carry[0][1][0], atol=1e-4, rtol=1e-3
            )
            torch.testing.assert_close(
                torch.from_numpy(recording.tensor("0.1.c")[row]), carry[1][0][0], atol=1e-4, rtol=1e-3
            )
            assert recording.index["action"][row] == out.policy_logits.argmax()


def test_boards_go_with_the_observations_and_end_as_the_episode_did(policy, tmp_path):
    recording = recorded(policy, tmp_path)
    at = 0
    for episode in recording.episodes:
        tiles = episode.boards["tiles"].reshape(-1, 7, 7)
        for step in range(len(episode)):
            seen = recording.tensors["obs"][at + step].argmax(0)
            assert (seen == tiles[step, 1:-1, 1:-1]).all()
        assert bool(episode.boards["solved"][-1]) == episode.solved
        assert len(tiles) == len(episode) + 1 and len(episode) <= 6
        at += len(episode)


def test_extra_passes_have_rows_of_their_own_before_the_step(policy, tmp_path):
    recording = recorded(policy, tmp_path, thinking=Thinking(passes=2))
    first = recording.index[recording.index["step"] == 0]
    assert first.groupby("level")["thought"].agg(list).tolist() == [[0, 1, DECIDES]] * LEVELS
    assert (first["action"] >= 0).tolist() == [False, False, True] * LEVELS
    assert (recording.index[recording.index["step"] > 0]["thought"] == DECIDES).all()
    assert len(recording.episodes) == LEVELS and recording.deciding.sum() == len(recording.index) - 2 * LEVELS
    later = recording.tensor("1.1.h")[first.index].reshape(LEVELS, 3, 8, 5, 5)
    assert np.abs(later[:, 1] - later[:, 0]).max() > 1e-4


def test_it_goes_on_where_it_stopped(policy, tmp_path):
    whole = recorded(policy, tmp_path / "whole")
    steps = record(policy, make_env(), ["*.*.h", "0.1.c", "value"], LEVELS, tmp_path / "cut", ABOUT)
    assert next(steps) == 3
    steps.close()
    stamp = (tmp_path / "cut/0000000.safetensors").stat().st_mtime_ns
    again = recorded(policy, tmp_path / "cut")
    assert (tmp_path / "cut/0000000.safetensors").stat().st_mtime_ns == stamp
    pd.testing.assert_frame_equal(again.index, whole.index)
    for name in whole.names:
        assert (again.tensor(name) == whole.tensor(name)).all()


def test_half_precision_takes_half_the_room_that_was_announced(policy, tmp_path):
    full, half = (bytes_of(policy, make_env(), ["*.*.h"], dtype) for dtype in ("float32", "float16"))
    assert full - half == 4 * 8 * 25 * 2
    recording = recorded(policy, tmp_path, names=("*.*.h",), dtype="float16")
    size = (tmp_path / "0000000.safetensors").stat().st_size
    rows = (recording.index["level"] < 3).sum()
    assert size == pytest.approx(rows * half, rel=0.15)
    assert recording.tensors["0.0.h"].dtype == np.float16 and recording.tensor("0.0.h").dtype == np.float32


def test_given_actions_are_played_in_place_of_the_policys_own(policy, tmp_path):
    first = recorded(policy, tmp_path / "first")
    other = small(obs_shape=(7, 5, 5), num_layers=2, repeats_per_step=2, hidden_channels=4).eval()
    actions = {episode.level: episode.actions for episode in first.episodes}
    second = recorded(other, tmp_path / "second", actions=actions)
    assert second.index["action"].tolist() == first.index["action"].tolist()
    assert (second.tensors["obs"] == first.tensors["obs"]).all()


def test_ticks_are_in_their_order():
    names = [f"0.{tick}.c" for tick in range(12)]
    recording = Recording(pd.DataFrame(), dict.fromkeys([*sorted(names), "value", "obs"], np.zeros(0)), {})
    assert recording.names == ["value", *names]


def test_another_recording_and_a_damaged_one_get_one_line(policy, tmp_path):
    recorded(policy, tmp_path)
    with pytest.raises(UserError, match="holds a recording of other weights"):
        list(record(policy, make_env(), ["value"], LEVELS, tmp_path, ABOUT))
    with pytest.raises(ConfigError, match=r"names: found '0\.0\.g', allowed: "):
        Recording.read(tmp_path).tensor("0.0.g")
    (tmp_path / "0000000.safetensors").write_bytes(b"no tensors")
    with pytest.raises(UserError, match="no whole recording"):
        Recording.read(tmp_path)
    with pytest.raises(UserError, match="no whole recording"):
        Recording.read(tmp_path / "nowhere")
    assert json.loads((tmp_path / "recording.json").read_text())["weights"] == "of this test"
