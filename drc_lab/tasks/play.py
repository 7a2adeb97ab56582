"""task=play: an agent plays its env, shown in the terminal and on video; without a checkpoint a person plays.

python -m drc_lab task=play checkpoint=FILE
"""

from contextlib import suppress
from functools import partial
from pathlib import Path

import torch

from drc_lab.app.as_trained import as_trained
from drc_lab.app.checkpoints import checkpoint_file
from drc_lab.app.device import set_precision
from drc_lab.app.fits import check_fits
from drc_lab.app.held_out import size_key
from drc_lab.app.settings import Settings
from drc_lab.app.specs import PlaySpec
from drc_lab.app.start import console, start
from drc_lab.evaluation.pictures.video import write_video
from drc_lab.evaluation.play.choices import as_env_counts
from drc_lab.files import writable
from drc_lab.learning.checkpoints import load_policy
from drc_lab.models.policy import Policy, num_actions
from drc_lab.playing.keyboard import NEXT, QUIT, RESTART, Keyboard, keys
from drc_lab.playing.stage import Stage
from drc_lab.trust import trusted_by

SHOWN_ACTIONS = 3  # the most probable ones


def main(settings: Settings, folder: Path) -> None:
    """Plays, then prints the result of each level and where the video is."""
    start(settings)
    spec, config = settings.play, settings.config
    if config.checkpoint is None:
        stage = Stage(settings, spec, pace=False)
        play = partial(play_by_hand, stage, spec)
    else:
        policy, trained = load_policy(checkpoint_file(config), trusted_by(config))
        settings = as_trained(config, trained)
        set_precision(policy, config, torch.device("cpu"))
        stage = Stage(settings, spec, pace=True)
        check_fits(policy, num_actions(policy), stage.env, size_key(settings, "env"))
        play = partial(watch, policy, stage, spec, settings.process.seed)
    if spec.video is not None:
        writable(folder / spec.video)
    with suppress(KeyboardInterrupt):  # results and video of what was played are kept
        play()
    stage.close()
    for line in stage.results:
        console.print(line, highlight=False)
    if spec.video is not None:
        write_video(stage.frames, folder / spec.video, spec.fps)
        console.print(f"video {folder / spec.video}", soft_wrap=True, highlight=False)


@torch.no_grad()
def watch(policy: Policy, stage: Stage, spec: PlaySpec, seed: int) -> None:
    """Lets the policy play ``spec.episodes`` levels, or as many as there are."""
    generator, names = torch.Generator().manual_seed(seed), stage.env.action_names
    for level in range(spec.level, min(spec.level + spec.episodes, stage.num_levels)):
        obs, carry = torch.from_numpy(stage.start(level)), None
        for _ in range(spec.first_passes):
            _, carry = policy(obs, carry, spec.repeats)
        while stage.is_open and not stage.over:
            out, carry = policy(obs, carry, spec.repeats)
            chances = torch.softmax(as_env_counts(out.policy_logits, stage.env)[0], -1)  # (A,)
            action = int(chances.argmax() if spec.greedy else torch.multinomial(chances, 1, generator=generator))
            entropy, top = float(torch.special.entr(chances).sum()), chances.argsort(descending=True)[:SHOWN_ACTIONS]
            likely = ", ".join(f"{names[a]} {chances[a]:.0%}" for a in top)
            said = f"{names[action]}   value {float(out.value):+.2f}"
            more = f"{said}   entropy {entropy:.2f}   {likely}"
            stage.show([stage.status, more], f"{stage.brief}   {said}")
            obs = torch.from_numpy(stage.step(action))
        if not stage.is_open:
            return
        stage.show([stage.status], stage.brief)


def play_by_hand(stage: Stage, spec: PlaySpec) -> None:
    """Lets a person play with keys from the terminal, the window or a pipe, until q or the end of the input."""
    keyboard, level = Keyboard(stage.env.action_names), spec.level
    if stage.window is None:
        pressed = keys()
    else:
        pressed = iter(stage.window.key, "")
        console.print(keyboard.help, highlight=False)
    stage.start(level)
    while True:
        stage.show([stage.status, keyboard.help], f"{stage.brief}   {keyboard.robot}")
        key = next(pressed, QUIT)
        if key == QUIT:
            return
        if key in (RESTART, NEXT):
            level = (level + (key == NEXT)) % stage.num_levels
            stage.start(level)
        elif not stage.over and (action := keyboard.press(key)) is not None:
            stage.step(action)
