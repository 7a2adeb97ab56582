"""Fetching levels, from a real server on this machine that cuts, lies and changes its mind."""

import hashlib
import io
import re
import threading
import zipfile
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import requests
from omegaconf import OmegaConf
from rich.console import Console

from drc_lab.app.settings import Settings
from drc_lab.download import CHUNK
from drc_lab.envs.sokoban.files import open_levels
from drc_lab.errors import UserError
from drc_lab.tasks.fetch_levels import fetch, main

LEVEL = "\n".join(["##########", "#@$ .#####", *["##########"] * 8])
PARTS = {"unfiltered/train": (3, 400), "unfiltered/test": (1, 5), "medium/valid": (2, 10), "hard": (1, 7)}


def archive(extra=(), parts=PARTS, level=LEVEL) -> bytes:
    """A zip file as the real one is, not compressed so that half of it is half of the levels."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for part, (files, count) in parts.items():
            for number in range(files):
                text = "".join(f"; {i}\n{level}\n\n" for i in range(count))
                packed.writestr(f"boxoban-levels-master/{part}/{number:03}.txt", text)
        for name in ("LICENSE", "README.md", "boxoban.py", "pictures/level.png", "medium/train.txt"):
            packed.writestr(f"boxoban-levels-master/{name}", "text")
        for name, text in extra:
            packed.writestr(name, text)
    return buffer.getvalue()


class Server(ThreadingHTTPServer):
    """Serves ``data`` at /levels.zip, and remembers what it was asked and how many bytes it sent."""

    def __init__(self, data):
        super().__init__(("127.0.0.1", 0), Handler)
        self.data, self.etag, self.knows_ranges = data, '"one"', True
        self.cut_after = None  # bytes of a response after which the connection is cut
        self.sent, self.asked = 0, []
        self.url = f"http://127.0.0.1:{self.server_port}/levels.zip"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self):
        server, start, total = self.server, 0, len(self.server.data)
        asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        server.asked.append((self.headers.get("Range"), self.headers.get("If-Range")))
        same = self.headers.get("If-Range") in (None, server.etag)
        if not self.path.startswith("/levels.zip"):
            return self.send_error(404)
        if asked and server.knows_ranges and same and int(asked[1]) >= total:
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{total}")
            self.send_header("Content-Length", "0")
            return self.end_headers()
        if asked and server.knows_ranges and same:
            start = int(asked[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{total - 1}/{total}")
        else:
            self.send_response(200)
        if server.etag:
            self.send_header("ETag", server.etag)
        self.send_header("Content-Length", str(total - start))
        self.end_headers()
        body = server.data[start:][: server.cut_after]
        self.wfile.write(body)
        server.sent += len(body)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.setenv(name, "127.0.0.1")
    with Server(archive()) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


class Fetching:
    """Fetches into a folder of its own; ``said`` is what was printed."""

    def __init__(self, url, root):
        self.url, self.root, self.folder = url, root, root / "data" / "boxoban"
        self.part = self.folder.with_name("boxoban.zip.part")

    def __call__(self, sha256=None):
        console = Console(file=io.StringIO(), width=200)
        fetch(self.url, self.folder, sha256, console)
        self.said = console.file.getvalue()

    def left(self):
        return sorted(path.name for path in self.folder.parent.iterdir())

    @contextmanager
    def fails(self, *words):
        with pytest.raises(UserError) as error:
            yield
        assert "\n" not in str(error.value) and not self.folder.exists()
        for word in words:
            assert word in str(error.value)


@pytest.fixture
def fetching(server, tmp_path):
    return Fetching(server.url, tmp_path)


def test_a_fresh_download_leaves_the_levels_their_license_and_nothing_else(server, fetching):
    fetching()
    assert hashlib.sha256(server.data).hexdigest() in fetching.said
    assert re.search(r"unfiltered/train +1,200 levels", fetching.said) and re.search(r"hard +7 levels", fetching.said)
    assert len(open_levels(fetching.folder, "unfiltered", "train")) == 1200
    assert (open_levels(fetching.folder, "hard")[:].tiles[6] == open_levels(fetching.folder, "hard")[:1].tiles).all()
    files = {str(path.relative_to(fetching.folder)) for path in fetching.folder.rglob("*") if path.is_file()}
    texts = {f"{part}/{number:03}.txt" for part, (count, _) in PARTS.items() for number in range(count)}
    assert files == texts | {"LICENSE", "README.md"}
    assert fetching.left() == ["boxoban"]


def test_what_is_there_already_is_not_fetched_again(server, fetching):
    fetching()
    fetching()
    assert len(server.asked) == 1 and "is there already" in fetching.said and "1,200 levels" in fetching.said


def test_a_cut_download_goes_on_where_it_stopped(server, fetching):
    cut = server.cut_after = CHUNK * (len(server.data) // 2 // CHUNK)
    with fetching.fails(f"{server.url}: ", f"boxoban.zip.part holds {cut:,} bytes, run again to go on from there"):
        fetching()
    assert fetching.part.read_bytes() == server.data[:cut]
    server.cut_after = None
    fetching()
    assert server.asked == [(None, None), (f"bytes={cut}-", '"one"')]
    assert server.sent == len(server.data)
    assert fetching.left() == ["boxoban"] and len(open_levels(fetching.folder, "medium", "valid")) == 20


def test_ctrl_c_keeps_what_came(server, fetching, monkeypatch):
    def stopped(response, size):
        yield response.raw.read(1000)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(requests.Response, "iter_content", stopped)
        fetching()
    assert fetching.part.read_bytes() == server.data[:1000] and not fetching.folder.exists()
    fetching()
    assert server.asked[1] == ("bytes=1000-", '"one"') and fetching.left() == ["boxoban"]


def test_a_whole_download_that_was_not_unpacked_is_not_fetched_again(server, fetching):
    fetching.part.parent.mkdir()
    fetching.part.write_bytes(server.data)
    fetching.part.with_name("boxoban.zip.part.json").write_text(f'{{"url": "{server.url}", "version": null}}')
    fetching()
    assert server.sent == 0 and fetching.left() == ["boxoban"]


@pytest.mark.parametrize(
    "why", ["no ranges", "changed", "changed, weak tag", "another address", "shorter now", "no note"]
)
def test_a_download_that_cannot_go_on_starts_over(server, fetching, why):
    server.cut_after = 2 * CHUNK
    if "weak" in why:
        server.etag = 'W/"one"'
    if why == "another address":
        fetching.url += "?old"
    with fetching.fails("holds 32,768 bytes"):
        fetching()
    server.cut_after, fetching.url = None, server.url
    if why == "no ranges":
        server.knows_ranges = False
    if "changed" in why:
        server.etag, server.data = server.etag.replace("one", "two"), archive(level=LEVEL.replace("@$ .", "@ $."))
    if why == "shorter now":
        server.etag, server.data = '"two"', archive(parts={"hard": (1, 3)})
    if why == "no note":
        fetching.part.with_name("boxoban.zip.part.json").unlink()
    fetching()
    assert (server.asked[1][0] is None) == (why in ("another address", "no note"))
    assert len(server.asked) == (3 if "weak" in why else 2)  # only the answer tells that a weak tag has changed
    assert hashlib.sha256(server.data).hexdigest() in fetching.said and fetching.left() == ["boxoban"]


def test_without_any_tag_a_download_goes_on_and_a_mix_of_two_files_is_found_out(server, fetching):
    server.etag, server.cut_after = None, 2 * CHUNK
    with fetching.fails("holds 32,768 bytes"):
        fetching()
    server.cut_after, server.data = None, archive(level=LEVEL.replace("#@$ .#", "#@ $.#"))
    with fetching.fails("it is no whole zip file"):
        fetching()
    fetching()
    assert fetching.left() == ["boxoban"]


def test_a_wrong_checksum_unpacks_nothing_and_a_right_one_passes(server, fetching):
    found = hashlib.sha256(server.data).hexdigest()
    with fetching.fails(server.url, f"found sha256 {found}, allowed: {'0' * 64}; the download was removed"):
        fetching(sha256="0" * 64)
    assert fetching.left() == []
    with fetching.fails("data.sha256: found 'abc', allowed: 64 hex digits, or null"):
        fetching(sha256="abc")
    fetching(sha256=found.upper())
    assert fetching.left() == ["boxoban"]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (archive()[:-30], "it is no whole zip file"),
        (archive().replace(b"#@$ .#", b"#@$$.#", 1), "it is no whole zip file (Bad CRC-32"),
        (b"<html>", "it is no whole zip file"),
        (archive([("x/../../evil.txt", "evil")]), "found 'x/../../evil.txt' in it, a path that leads out"),
        (archive([("/tmp/evil.txt", "evil")]), "found '/tmp/evil.txt' in it, a path that leads out"),
        (archive([("..\\evil.txt", "evil")]), "found '..\\\\evil.txt' in it, a path that leads out"),
        (archive(parts={}), "found no level file in it such as unfiltered/train/000.txt"),
        (archive(level=LEVEL.replace("@", " ")), ": unfiltered/train/000.txt:0 (0), line 2: found no players"),
    ],
)
def test_an_archive_that_is_not_what_it_should_be_unpacks_nothing(server, fetching, data, message):
    server.data = data
    with fetching.fails(server.url, message, "; the download was removed, nothing was unpacked"):
        fetching()
    assert fetching.left() == [] and not list(fetching.root.rglob("evil*"))


def test_an_address_without_a_file_or_a_server_is_told_in_one_line(server, fetching):
    fetching.url = server.url.replace("levels", "stars")
    with fetching.fails(f"{fetching.url}: the server says 404 Not Found"):
        fetching()
    for url, words in (("http://127.0.0.1:9/levels.zip", "Connection refused"), ("levels.zip", "Invalid URL")):
        fetching.url = url
        with fetching.fails(f"{url}: {words}"):
            fetching()
    assert not fetching.folder.parent.exists()


def test_a_folder_with_other_things_in_it_is_left_alone(server, fetching):
    fetching.folder.mkdir(parents=True)
    (fetching.folder / "thesis.tex").write_text("years of work")
    with pytest.raises(UserError, match=r"boxoban: found something else there, allowed: a new folder"):
        fetching()
    assert [path.name for path in fetching.folder.iterdir()] == ["thesis.tex"] and not server.asked
    (fetching.folder / "thesis.tex").unlink()
    fetching()
    assert len(open_levels(fetching.folder, "hard")) == 7


def test_no_room_for_the_download_is_told_in_one_line(server, fetching):
    fetching.folder.parent.write_text("a file where the folder should be")
    with pytest.raises(UserError, match=r"boxoban\.zip\.part: File exists$"):
        fetching()


def test_the_task_fetches_what_the_config_says(server, tmp_path, capsys):
    data = {"url": server.url, "folder": str(tmp_path / "levels"), "sha256": None}
    main(Settings(OmegaConf.create({"data": data})), tmp_path)
    assert len(open_levels(tmp_path / "levels", "unfiltered", "test")) == 5
    assert "1,200 levels" in capsys.readouterr().out
