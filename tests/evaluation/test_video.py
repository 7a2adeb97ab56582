"""Videos read back as what was written, and nothing is left of one that failed."""

import subprocess
import sys

import numpy as np
import pytest
from PIL import Image, ImageSequence

from drc_lab.envs.ricochet.level import border, wall_bits
from drc_lab.envs.ricochet.render import picture
from drc_lab.errors import ConfigError, UserError
from drc_lab.evaluation.pictures.video import CAPTION_HEIGHT, caption, write_video


def walk(frames=9, cell_size=17):
    """A robot goes along a row; odd sizes."""
    walls = wall_bits(*border(3, 9))
    return [picture(walls, np.array([9 + i, 3]), 17, 0, cell_size) for i in range(frames)]


def read_gif(path):
    with Image.open(path) as gif:
        frames = [(np.asarray(f.convert("RGB")), f.info["duration"]) for f in ImageSequence.Iterator(gif)]
    return [f for f, _ in frames], [d for _, d in frames]


def test_a_gif_reads_back_frame_by_frame(tmp_path):
    frames = walk()
    write_video(iter(frames), tmp_path / "new/walk.gif", fps=5)
    back, durations = read_gif(tmp_path / "new/walk.gif")
    assert durations == [200] * len(frames)
    for frame, read in zip(frames, back, strict=True):
        difference = np.abs(frame.astype(int) - read)
        assert difference.max() <= 48 and (difference == 0).mean() > 0.97
    assert [p.name for p in (tmp_path / "new").iterdir()] == ["walk.gif"]


def test_a_gif_of_few_colours_is_exact_and_repeated_frames_last_longer(tmp_path):
    colours = np.random.default_rng(0).integers(0, 256, (256, 3), dtype=np.uint8)
    a, b = colours[:64].reshape(8, 8, 3), colours[192:].reshape(8, 8, 3)
    write_video([a, b, b, a], tmp_path / "few.gif", fps=10)
    back, durations = read_gif(tmp_path / "few.gif")
    np.testing.assert_array_equal(back, [a, b, a])
    assert durations == [100, 200, 100]


def test_nothing_flickers(tmp_path):
    """With far more colours than a GIF has, a pixel that stays the same in all frames is stored the same in all."""
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (6, 40, 40, 3), dtype=np.uint8)
    frames[:, :20] = frames[0, :20]
    write_video(list(frames), tmp_path / "noise.gif", fps=2)
    back = np.stack(read_gif(tmp_path / "noise.gif")[0])
    assert (back[:, :20] == back[0, :20]).all()
    assert np.abs(back.astype(int) - frames).mean() < 20


def test_an_mp4_reads_back_with_even_sizes(tmp_path):
    ffmpeg = pytest.importorskip("imageio_ffmpeg")
    frames = walk()
    write_video(frames, tmp_path / "walk.mp4", fps=5)
    words = [ffmpeg.get_ffmpeg_exe(), "-i", tmp_path / "walk.mp4", "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    decoded = subprocess.run(words, capture_output=True, check=True, stdin=subprocess.DEVNULL)
    H, W = frames[0].shape[:2]
    said = decoded.stderr.decode()
    assert H % 2 and W % 2 and f" {W + 1}x{H + 1}" in said and " 5 fps" in said and "yuv420p" in said
    back = np.frombuffer(decoded.stdout, np.uint8).reshape(-1, H + 1, W + 1, 3)[:, :H, :W]
    for frame, read in zip(frames, back, strict=True):
        assert np.abs(frame.astype(int) - read).mean() < 6
    assert [p.name for p in tmp_path.iterdir()] == ["walk.mp4"]


@pytest.mark.parametrize("name", ["broken.gif", "broken.mp4"])
def test_a_video_that_fails_leaves_the_old_one_and_nothing_else(tmp_path, monkeypatch, name):
    if name.endswith("mp4"):
        pytest.importorskip("imageio_ffmpeg")
    write_video(walk(2), tmp_path / name, fps=4)
    before = (tmp_path / name).read_bytes()
    monkeypatch.setattr("os.replace", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        write_video(walk(3), tmp_path / name, fps=4)
    assert [p.name for p in tmp_path.iterdir()] == [name] and (tmp_path / name).read_bytes() == before


def test_mistakes_are_told(tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match=r"video: found .*walk.avi', allowed: a name that ends in .gif or .mp4"):
        write_video(walk(1), tmp_path / "walk.avi", fps=4)
    for fps in (0, -1, 60, float("nan")):
        with pytest.raises(ConfigError, match="fps: found"):
            write_video(walk(1), tmp_path / "walk.gif", fps=fps)
    for frames in ([], [walk(1)[0], walk(1, 16)[0]], [walk(1)[0].astype(float)], [walk(1)[0][..., 0]]):
        with pytest.raises(ValueError, match=r"wanted at least one, uint8 \[H, W, 3\]"):
            write_video(frames, tmp_path / "walk.gif", fps=4)
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(UserError, match=r"^imageio_ffmpeg is not installed, .*: pip install 'drc-lab\[play\]'$"):
        write_video(walk(1), tmp_path / "walk.mp4", fps=4)
    assert not list(tmp_path.iterdir())


def test_a_caption_stands_beneath_the_frame_and_fits_it():
    frame = walk(1)[0]
    for text in ("step 3", "step 3 of 120, A right, value 0.93"):
        shown = caption(frame, text)
        assert shown.shape == (frame.shape[0] + CAPTION_HEIGHT, frame.shape[1], 3) and shown.dtype == np.uint8
        np.testing.assert_array_equal(shown[: len(frame)], frame)
        bar = shown[len(frame) :].max(-1)
        assert (bar > 200).any() and (bar[:, -2:] == bar[0, 0]).all()
