"""task=play: an agent from a checkpoint, a person from keys; what is shown, and the video it leaves."""

import io
import os
import pty
import re
import select
import subprocess
import sys
import time

import hydra
import numpy as np
import pytest
from checkpoints import checkpoint, results
from PIL import Image, ImageSequence

from drc_lab.app.held_out import held_out_env
from drc_lab.app.settings import Settings
from drc_lab.config import make_env
from drc_lab.evaluation.pictures.video import CAPTION_HEIGHT
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.learning.checkpoints import load_policy
from drc_lab.paths import CONF
from drc_lab.playing.keyboard import Keyboard, keys

UP, DOWN, RIGHT, LEFT = (f"\x1b[{letter}" for letter in "ABCD")
ROBOTS = [f"{robot} {move}" for robot in "AB" for move in ("up", "down", "left", "right")]
FEW = "evaluation.num_levels=12"


def test_an_agent_plays_as_it_is_evaluated(play, tmp_path):
    """The same levels under the same numbers, the same steps and outcomes as `evaluate` has."""
    where = checkpoint(tmp_path / "a.ckpt", FEW, "evaluation.level_seed=3", "env.max_steps=6", "env.max_optimal=1")
    code, output, errors = play(where, "play.episodes=99", "play.show=none", "play.video=null", "play.split=valid")
    assert (code, errors) == (0, "")
    policy, config = load_policy(tmp_path / "a.ckpt")
    expected = evaluate(policy, held_out_env(Settings(config), "valid"))
    wanted = zip(expected.level, expected.solved, expected.length, expected.optimal, strict=True)
    assert results(output) == [tuple(int(x) for x in row) for row in wanted] and len(expected.level) == 12
    assert 0 < expected.solve_rate < 1  # or the test shows nothing


def test_each_step_shows_board_action_value_and_chances(play, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", FEW, "env.max_steps=3")
    code, output, _ = play(where, "play.episodes=2", "play.level=5")
    assert code == 0
    frames = output.split("\n\n")[:-1]
    steps = [frame for frame in frames if "step" in frame.splitlines()[-2]]
    assert len(steps) == sum(length for _, _, length, _ in results(output))
    assert [level for level, *_ in results(output)] == [5, 6]
    for frame in frames:
        assert len(frame.splitlines()) in (13, 12) and frame.splitlines()[0] == "+--+--+--+--+--+"
    said = r"[AB] (up|down|left|right)   value [+-]\d+\.\d\d   entropy \d\.\d\d   ([AB] \w+ \d+%(, )?){3}"
    assert all(re.fullmatch(said, frame.splitlines()[-1]) for frame in steps)
    assert steps[0].splitlines()[-2] == "level 5, step 0 of 3"


def test_more_thinking_and_sampling_are_used(play, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", FEW, "env.max_steps=6")
    fixed = [where, "play.video=null", "play.episodes=1"]
    shown = {
        more: play(*fixed, *more)[1]
        for more in (
            (),
            ("play.first_passes=3",),
            ("play.repeats=5",),
            ("play.greedy=false",),
            ("play.greedy=false", "seed=1"),
        )
    }
    assert len(set(shown.values())) == len(shown)
    assert play(*fixed, "play.greedy=false", "seed=1")[1] == shown["play.greedy=false", "seed=1"]


def test_the_checkpoints_env_is_played_but_for_what_the_command_line_says(play, tmp_path):
    where = checkpoint(tmp_path / "a.ckpt", FEW, "env=ricochet_v1", "env.max_steps=7")
    fixed = [where, "play.video=null", "play.episodes=1"]
    assert "step 0 of 7" in play(*fixed)[1]
    assert "step 0 of 2" in play(*fixed, "env.max_steps=2")[1]
    code, _, errors = play(*fixed, "env=ricochet")
    assert code == 2 and "env: found 'observations (8, 5, 5)', allowed: (7, 5, 5)" in errors
    assert play(*fixed, "env.noop=true")[1] == play(*fixed)[1]  # the policy need not know of it
    where = checkpoint(tmp_path / "b.ckpt", FEW, "env.observation=rgb")
    code, _, errors = play(where, "play.video=null", "env.num_robots=3")
    assert code == 2 and "env: found '12 actions', allowed: 8, which the policy chooses from" in errors


def test_the_video_has_every_move_and_rests_at_the_end_of_a_level(play, tmp_path):
    """v1, level 0: LEFT only leads away, RIGHT leads on, then a restart and the one move up."""
    keys = f"{LEFT}{RIGHT}r{UP}q"
    code, output, _ = play("env=ricochet_v1", "play.cell_size=20", keys=keys)
    (video,) = tmp_path.glob("outputs/runs/play/*/play.gif")
    assert code == 0 and f"video {video}" in output and [p.name for p in video.parent.iterdir()] == [video.name]
    with Image.open(video) as gif:
        assert gif.size == (100, 100 + CAPTION_HEIGHT)
        assert [frame.info["duration"] for frame in ImageSequence.Iterator(gif)] == [250, 250, 250, 250, 1000]


def test_the_video_can_be_an_mp4(play, tmp_path):
    pytest.importorskip("imageio_ffmpeg")
    assert play("env=ricochet_v1", "play.video=out.mp4", keys=f"{LEFT}q")[0] == 0
    (video,) = tmp_path.glob("outputs/runs/play/*/out.mp4")
    assert video.stat().st_size > 500


def test_a_person_plays_with_keys_from_a_pipe(play):
    """v1: level 0 is one move up, level 1 one move down. Restart, next level, end of input."""
    code, output, errors = play("env=ricochet_v1", "play.video=null", keys=f"{LEFT}r{UP}{DOWN}n{LEFT}{DOWN}")
    assert (code, errors) == (0, "")
    assert results(output) == [(0, True, 1, 1)]  # after it is solved, moves do nothing; level 1 was left unfinished
    said = [frame.splitlines()[-2] for frame in output.split("\n\n")[:-1]]
    step = "level {}, step {} of 20".format
    won = "level 0: solved in 1 step (optimal 1)"
    assert said == [step(0, 0), step(0, 1), step(0, 0), won, won, step(1, 0), step(1, 1), step(1, 2)]
    assert all(frame.splitlines()[-1].startswith("arrows move A, r restarts") for frame in output.split("\n\n")[:-1])


def test_a_person_wraps_around_after_the_last_level(play):
    _, output, _ = play("env=ricochet_v1", "play.video=null", "play.level=3", keys="nq")
    assert "level 3, step 0" in output and "level 0, step 0" in output


def test_keys_choose_robots_and_move_them():
    keyboard = Keyboard([*ROBOTS, "no-op"])
    pressed = [keyboard.press(key) for key in ("left", "b", "left", "1", "up", "B", " ", "down", "z", "3", "w", "²")]
    assert [p if p is None else [*ROBOTS, "no-op"][p] for p in pressed] == [
        "A left", None, "B left", None, "A up", None, "no-op", "B down", None, None, None, None]  # fmt: skip
    assert keyboard.help.startswith("A-B or 1-2 choose a robot, arrows move B, space waits, ")


def test_a_key_thinks_where_there_is_the_action():
    keyboard = Keyboard([*ROBOTS, "think"])
    assert keyboard.press("?") == len(ROBOTS) and "? thinks, " in keyboard.help
    assert Keyboard(ROBOTS).press("?") is None and "think" not in Keyboard(ROBOTS).help


def test_keys_move_a_single_player():
    keyboard = Keyboard(["up", "down", "left", "right"])
    assert [keyboard.press(key) for key in ("w", "s", "a", "D", "up", "down", "left", "right", " ", "x", "1")] == [
        0, 1, 2, 3, 0, 1, 2, 3, None, None, None]  # fmt: skip
    assert keyboard.help == "arrows or wasd move, r restarts, n next level, q quits"


def test_a_pipe_is_read_key_by_key(monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"a{UP} {LEFT}\x1bOB\nq"))
    assert list(keys()) == ["a", "up", " ", "left", "down", "\n", "q"]


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (["play.episodes=0"], "play.episodes: found 0, allowed: at least 1"),
        (["play.level=99", FEW], "play.level: found 99, allowed: 0 to 11"),
        (["play.split=exam"], "play.split: found 'exam', allowed: train | valid | test"),
        (["play.show=film"], "play.show: found 'film', allowed: terminal | window | none"),
        (["play.video=play.avi"], "play.video: found 'play.avi', allowed: a name that ends in .gif or .mp4"),
        (["play.fps=0"], "play.fps: found 0,"),
        (["play.cell_size=4"], "play.cell_size: found 4, allowed: 8 to 128"),
        (["play.repeats=0"], "play.repeats: found 0, allowed: at least 1"),
        (["play.first_passes=-1"], "play.first_passes: found -1, allowed: at least 0"),
        (["play.episodes=few"], "play.episodes: found 'few', allowed: int"),
        (["checkpoint=nowhere.ckpt"], "checkpoint: found no file 'nowhere.ckpt'"),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_a_mistake_gets_one_line_and_leaves_nothing(play, tmp_path, overrides, line):
    code, output, errors = play(*overrides)
    assert code == 2 and errors.startswith(f"drc_lab: {line}") and errors.count("\n") == 1, errors
    assert output == "" and not list(tmp_path.iterdir())


def test_in_a_window_keys_come_from_it_and_closing_it_ends_the_play(play, monkeypatch, tmp_path):
    monkeypatch.setenv("SDL_VIDEODRIVER", "dummy")
    pygame = pytest.importorskip("pygame")
    pygame.display.init()
    for key in (pygame.K_UP, pygame.K_n):
        pygame.event.post(pygame.event.Event(pygame.KEYDOWN, key=key, unicode=chr(key) if key < 128 else "", mod=0))
    pygame.event.post(pygame.event.Event(pygame.QUIT))
    code, output, errors = play("env=ricochet_v1", "play.show=window", "play.video=null")
    assert (code, errors) == (0, "")
    # The close is noticed with the first picture: nothing was played.
    assert results(output) == [] and "arrows move A" in output
    where = checkpoint(tmp_path / "a.ckpt", "env=ricochet_v1", "env.max_steps=2")
    code, output, errors = play(where, "play.show=window", "play.video=null", "play.fps=50", "play.episodes=2")
    assert (code, errors, len(results(output))) == (0, "", 2)


@pytest.mark.slow
def test_in_a_terminal_single_keys_work_without_return(tmp_path):
    """A real process on a pseudo-terminal."""
    ours, theirs = pty.openpty()
    words = [sys.executable, "-m", "drc_lab", "task=play", "env=ricochet_v1", "play.video=null"]
    with subprocess.Popen(words, cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        shown, deadline = "", time.monotonic() + 120
        for keys, text in (
            ("", "q quits"),
            (UP, "solved in 1 step"),
            ("n", "level 1, step 0"),
            ("q", "level 0: solved"),
        ):
            shown = ""
            while text not in shown and time.monotonic() < deadline:
                os.write(ours, keys.encode())  # again and again: what is typed before it waits for a key is dropped
                if select.select([ours], [], [], 0.5)[0]:
                    shown += os.read(ours, 4096).decode()
            assert text in shown
            assert keys == "q" or "\x1b[2J" in shown  # a clean screen for each frame
        assert process.wait(timeout=120) == 0
    os.close(ours)


def test_the_picture_follows_the_board():
    """A robot that moves up changes the cell it leaves and the one where it stops."""
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        config = hydra.compose("config", overrides=["env=ricochet_v1"])
    env = make_env(config.env, num_envs=1, order="sequential", autoreset=False)
    env.reset(seed=0)
    before = env.batch.picture(0, 16)
    env.step(np.array([env.batch.action_names.index("A up")]))
    changed = (before != env.batch.picture(0, 16)).any(-1).reshape(5, 16, 5, 16).any((1, 3))
    assert np.argwhere(changed).tolist() == [[1, 2], [3, 2]]
