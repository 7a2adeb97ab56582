"""Writes frames as a GIF or MP4, and adds captions to frames."""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int32, Real, UInt8
from PIL import Image, ImageDraw
from scipy.spatial import KDTree

from drc_lab.envs.render import INK, WHITE, font
from drc_lab.files import written
from drc_lab.pictures import check_video, play_extra

COLOURS = 256  # in the palette of a GIF
WEIGHED_PIXELS = 100_000  # approximate number of pixels that represent all frames when a palette is chosen
CAPTION_HEIGHT, CAPTION_FONT, SMALLEST_FONT = 22, 13, 7


def write_video(frames: Iterable[np.ndarray], path: str | Path, fps: float) -> None:
    """Writes frames to a .gif (looping) or .mp4 (H.264). The file appears only once it is complete.

    In a GIF all frames share one palette, so that nothing flickers; up to 256 colours are exact. A frame that repeats
    the previous one is stored by showing that one longer. H.264 needs even sizes, so in an MP4 the last row or column
    is doubled if necessary.

    Args:
        frames: at least one, uint8 [H, W, 3], all of one size.
        path: of the file; an existing file is replaced.
        fps: frames per second.

    Raises:
        ConfigError, UserError: see `check_video`.
        ValueError: there are no frames, or they have another dtype or shape.
    """
    path = Path(path)
    check_video(path, fps)
    frames = list(frames)
    for frame in frames or [np.empty(0)]:
        if frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or frame.shape != frames[0].shape:
            raise ValueError(
                "frames: wanted at least one, uint8 [H, W, 3], all of one size; "
                f"found {len(frames)}, one of them {frame.dtype} {list(frame.shape)}"
            )
    with written(path) as part:
        (_write_gif if path.suffix == ".gif" else _write_mp4)(frames, part, fps)


def caption(frame: UInt8[np.ndarray, "H W 3"], text: str) -> UInt8[np.ndarray, "H_and_bar W 3"]:
    """The frame with a line of text in a bar below it, CAPTION_HEIGHT high."""
    width = frame.shape[1]
    bar = Image.new("RGB", (width, CAPTION_HEIGHT), INK)
    size = CAPTION_FONT
    while size > SMALLEST_FONT and font(size).getlength(text) > width - 8:
        size -= 1
    ImageDraw.Draw(bar).text((4, CAPTION_HEIGHT / 2), text, WHITE, font(size), anchor="lm")
    return np.concatenate([frame, np.asarray(bar)])


def _write_gif(frames: list[UInt8[np.ndarray, "H W 3"]], path: Path, fps: float) -> None:
    packed = [_packed(frame) for frame in frames]
    counted = [np.unique(frame, return_counts=True) for frame in packed]
    colours, place = np.unique(np.concatenate([c for c, _ in counted]), return_inverse=True)
    counts = np.bincount(place, weights=np.concatenate([n for _, n in counted]))
    rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], -1).astype(np.uint8)
    palette = rgb if len(rgb) <= COLOURS else _choose_colours(rgb, counts)
    index = KDTree(palette).query(rgb)[1].astype(np.uint8)  # [colours]: index of the nearest colour in the palette
    images = []
    for frame in packed:
        image = Image.fromarray(index[np.searchsorted(colours, frame)])
        image.putpalette(palette.tobytes())
        images.append(image)
    images[0].save(
        path,
        save_all=True,
        append_images=images[1:],
        duration=1000 / fps,
        loop=0,
        palette=palette.tobytes(),
        optimize=False,
    )


def _packed(frame: UInt8[np.ndarray, "H W 3"]) -> Int32[np.ndarray, "H W"]:
    """Packs the colour of each pixel into one number."""
    r, g, b = np.moveaxis(frame.astype(np.int32), -1, 0)
    return r << 16 | g << 8 | b


def _choose_colours(rgb: UInt8[np.ndarray, "N 3"], counts: Real[np.ndarray, "N"]) -> UInt8[np.ndarray, "M 3"]:
    """Reduces N colours to a palette of at most COLOURS by median cut, weighted by pixels of each, ``counts``."""
    times = np.maximum(1, counts * (WEIGHED_PIXELS / counts.sum())).astype(np.int64)
    pixels = Image.fromarray(np.repeat(rgb, times, axis=0)[None])
    chosen = pixels.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).getpalette()
    return np.array(chosen, np.uint8).reshape(-1, 3)


def _write_mp4(frames: list[UInt8[np.ndarray, "H W 3"]], path: Path, fps: float) -> None:
    H, W = frames[0].shape[:2]
    odd = ((0, H % 2), (0, W % 2), (0, 0))
    ffmpeg = play_extra("imageio_ffmpeg")
    writer = ffmpeg.write_frames(
        path, (W + W % 2, H + H % 2), fps=fps, quality=8, macro_block_size=2, ffmpeg_log_level="quiet"
    )
    writer.send(None)  # starts the encoder
    try:
        for frame in frames:
            writer.send(np.ascontiguousarray(np.pad(frame, odd, "edge")))
    finally:
        writer.close()
    try:
        counted = ffmpeg.count_frames_and_secs(path)[0]  # on a full disk it only ends early
    except Exception:  # of several types, for a file that is not whole
        counted = 0
    if counted < len(frames):
        raise OSError(f"ffmpeg wrote {counted} of {len(frames)} frames, the disk may be full")
