"""Real stores for tests: an MLflow server that can be killed, and a PostgreSQL of one's own."""

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from urllib.request import urlopen

import pytest


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class MLflowServer:
    """`mlflow server` on SQLite, always at the same port."""

    def __init__(self, folder):
        self.port, self.folder, self.process = free_port(), folder, None
        self.uri = f"http://127.0.0.1:{self.port}"

    def start(self):
        words = [
            sys.executable, "-m", "mlflow", "server", "--port", str(self.port), "--workers", "1",
            "--backend-store-uri", f"sqlite:///{self.folder}/server.db", "--artifacts-destination", str(self.folder),
        ]  # fmt: skip
        env = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self.process = subprocess.Popen(words, env=env, start_new_session=True, **quiet)
        for _ in range(2400):
            assert self.process.poll() is None, "the server died"
            with contextlib.suppress(OSError), urlopen(f"{self.uri}/health", timeout=1):
                return self
            time.sleep(0.1)
        raise AssertionError("the server did not start")

    def kill(self):
        """SIGKILL for it and its workers."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@contextlib.contextmanager
def postgres(folder):
    """The URI of an empty database in a new server, which ends with the context."""
    if missing := [name for name in ("initdb", "postgres") if shutil.which(name) is None]:
        pytest.skip(f"PostgreSQL's {' and '.join(missing)} are not on the PATH")
    psycopg2 = pytest.importorskip("psycopg2")
    user, port, data = {}, free_port(), folder / "data"
    if os.getuid() == 0:  # it refuses to run as root
        names = {entry.pw_name for entry in pwd.getpwall()}
        name = next((name for name in ("postgres", "nobody") if name in names), None)
        if name is None:
            pytest.skip("PostgreSQL does not run as root, and there is no user postgres or nobody")
        user = {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": []}
        data.mkdir()
        shutil.chown(data, name)
        for parent in data.parents[:-1]:  # tmp_path is for its owner only
            if parent.stat().st_uid == 0 and parent.name.startswith(("pytest-", "popen-")):
                parent.chmod(0o755)
        folder.chmod(0o755)
    words = ["initdb", "--pgdata", data, "--username", "tester", "--auth", "trust", "--no-sync"]
    subprocess.run(words, check=True, capture_output=True, timeout=60, cwd="/", **user)
    words = ["postgres", "-D", data, "-p", str(port), "-c", "listen_addresses=127.0.0.1", "-k", "", "-c", "fsync=off"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    server = subprocess.Popen(words, cwd="/", **quiet, **user)
    try:
        uri = f"postgresql://tester@127.0.0.1:{port}/postgres"
        for _ in range(600):
            with contextlib.suppress(psycopg2.OperationalError):
                psycopg2.connect(uri).close()
                break
            time.sleep(0.1)
        yield uri
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown
        server.wait(timeout=30)


class Gate:
    """A port through which a server is reached, and at which everything can go wrong.

    Attributes:
        way: what happens to each connection from now on: "open" leads to the server, "refuse" lets none in, "hang"
            never answers, "drip" does so byte by byte, "cut" ends it after the request, and bytes are the answer to
            every request.
        requests: what came in while it led nowhere.
    """

    def __init__(self, port, way="open"):
        self.target, self.port, self._way = port, free_port(), None
        self.uri = f"http://127.0.0.1:{self.port}"
        self._listener, self._held, self.requests = None, [], []
        self.way = way

    @property
    def way(self):
        return self._way

    @way.setter
    def way(self, way):
        self._way = way
        if self._listener is not None:
            self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
            self._listener = None
        for held in self._held:  # connections that are kept alive would go on as before
            with contextlib.suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        self._held = []
        if way not in ("refuse", "close"):
            self._listener = socket.create_server(("127.0.0.1", self.port), reuse_port=True)
            threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener):
        with contextlib.suppress(OSError):  # it was closed
            while True:
                connection = listener.accept()[0]
                self._held.append(connection)
                threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection):
        with contextlib.suppress(OSError), connection:
            if self._way == "open":
                with socket.create_connection(("127.0.0.1", self.target)) as server:
                    self._held.append(server)
                    back = threading.Thread(target=self._pass_on, args=(server, connection), daemon=True)
                    back.start()
                    self._pass_on(connection, server)
                    back.join()
                return
            request = connection.recv(2**16)
            self.requests.append(request)
            while self._way in ("hang", "drip") and request:
                if self._way == "drip":
                    connection.sendall(b"H")
                time.sleep(0.1)
            if isinstance(self._way, bytes):
                connection.sendall(self._way)

    def _pass_on(self, source, sink):
        with contextlib.suppress(OSError):
            while some := source.recv(2**16):
                sink.sendall(some)
            sink.shutdown(socket.SHUT_WR)

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self.way = "close"


def answer(status, body, *headers):
    """An HTTP answer, for `Gate.way`."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", body]).encode()
