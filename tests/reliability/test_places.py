"""Folders of any name, variables of the environment, no home folder, a read-only installation, two users."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from commands import run_here
from hydra.core.override_parser.overrides_parser import OverridesParser

from drc_lab import kernel_cache
from drc_lab.errors import ConfigError, note
from drc_lab.kernel_cache import cache_folder
from drc_lab.launch import override
from drc_lab.process import process_kept, start_process
from drc_lab.tracking.fetch import fetch_checkpoint
from drc_lab.tracking.mlflow import Store
from drc_lab.tracking.reading import open_store
from drc_lab.tracking.run import tracked_run
from drc_lab.tracking.spec import TrackingSpec

NAMES = [
    "with space", "quote'single", 'quote"double', "100%", "a%20b", "%2e%2e", "sharp#1", "what?", "query?x=1", "ümläut",
    "🤖", "-dash", "plus+", "a&b=c", "semi;colon", "new\nline", "back\\slash", "dollar$", "{brace}", "[b]", "star*",
    "comma,", "at@u:p@x", "~",
]  # fmt: skip
ALL_IN_ONE = ["-a b'c\"d 100% e%20f #g ?h=1&i", "ümläut 🤖 +j; $k {l} [m] * ~n, (o):p"]
MLP = [
    "policy=mlp", "algo.rollouts.num_envs=16", "algo.rollouts.num_steps=4", "algo.rollouts.frames=640",
    "evaluation.num_levels=10", "evaluation.every_frames=640", "threads=1", "tracking.system_metrics_seconds=null",
    "callbacks.videos=null", "root=.",
]  # fmt: skip
OTHERS = (65534, 65533)  # users that have no home and own nothing


# --- names ---


@pytest.mark.parametrize("name", NAMES)
def test_a_run_and_its_checkpoints_are_kept_and_found_in_a_folder_of_any_name(name, tmp_path, empty_store):
    root = tmp_path / "in" / name
    folder = root / "runs/r"
    folder.mkdir(parents=True)
    shutil.copy(empty_store, root / "mlflow.db")
    for file in ("best", "last"):
        (folder / f"{file}.ckpt").write_text(file + name)
    spec, said = TrackingSpec(f"sqlite:///{root}/mlflow.db", str(root / "artifacts")), []
    with tracked_run(spec, folder, "study", None, {}, say=said.append) as run:
        run.log_metrics({"x": 1.0}, 1)
        run.log_checkpoint(folder / "best.ckpt", {"valid/solve_rate": 0.5}, 1)
        run.log_artifact(folder / "last.ckpt", "checkpoints")
    client = open_store(spec.uri)
    for file in ("best", "last"):
        path = fetch_checkpoint(client, f"runs:/{run.run_id}/checkpoints/{file}.ckpt", root / "cache")
        assert path.read_text() == file + name and path.is_relative_to(root / "cache")
    assert [m.value for m in client.get_metric_history(run.run_id, "x")] == [1.0] and not said
    assert [path.name for path in (tmp_path / "in").iterdir()] == [name]
    assert {path.name for path in root.iterdir()} == {"mlflow.db", "runs", "artifacts", "cache"}


@pytest.mark.parametrize("name", [*NAMES, *ALL_IN_ONE, "12", "1e3", "null", "end\\", "it\\'s"])
def test_commands_to_go_on_with_name_the_folder(name):
    assert OverridesParser.create().parse_override(override("folder", name)).value() == name


@pytest.mark.slow
@pytest.mark.parametrize("name", ALL_IN_ONE)
def test_trainings_and_evaluations_work_in_a_folder_of_any_name(name, tmp_path, monkeypatch, capfd):
    """From a database that the training makes, by the command line, whose grammar has its own ideas of such letters."""
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / name)
    root = override("root", f"out {name}")
    words = [*(word for word in MLP if word != "root=."), root]
    code, _, errors = run_here(monkeypatch, capfd, *words, override("folder", f"run {name}"))
    assert (code, errors) == (0, "")
    client = open_store(f"sqlite:///out {name}/mlflow.db")
    (experiment,) = [e for e in client.search_experiments() if e.name == "train"]
    (trained,) = client.search_runs([experiment.experiment_id])
    checkpoint = f"checkpoint=runs:/{trained.info.run_id}/checkpoints/best.ckpt"
    page = override("folder", f"evaluation {name}")
    code, _, errors = run_here(monkeypatch, capfd, "task=evaluate", checkpoint, "evaluation.num_levels=10", root, page)
    assert (code, errors) == (0, "")
    assert Path(f"evaluation {name}/report.html").is_file() and Path(f"run {name}/checkpoints/last.ckpt").is_file()
    assert trained.info.status == "FINISHED" and [path.name for path in tmp_path.iterdir()] == [name]
    shell = subprocess.run(["sh", "-c", f"printf %s {shlex.quote(root)}"], capture_output=True, text=True)
    assert shell.stdout == root and {path.name for path in Path().iterdir()} == {
        f"{kind} {name}" for kind in ("out", "run", "evaluation")
    }


# --- environment ---


def test_the_config_counts_in_place_of_variables_of_mlflow_and_one_line_says_so(tmp_path, empty_store, monkeypatch):
    path = shutil.copy(empty_store, tmp_path / "mlflow.db")
    spec = TrackingSpec(f"sqlite:///{path}", str(tmp_path / "artifacts"))
    others = {
        "MLFLOW_TRACKING_URI": "http://u:secret@127.0.0.1:9",
        "MLFLOW_EXPERIMENT_NAME": "other",
        "MLFLOW_RUN_ID": "0" * 32,
    }
    for name, value in others.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "best.ckpt").write_text("weights")
    said = []
    with tracked_run(spec, tmp_path / "run", "study", None, {}, say=said.append) as run:
        run.log_checkpoint(tmp_path / "best.ckpt", {"valid/solve_rate": 0.5}, 1)
    counts = f"tracking.uri={spec.uri}, study=study, folder={tmp_path / 'run'}"
    assert said == [f"{', '.join(others)}: without effect here, what counts is {counts}"]
    client = Store(spec.uri).client
    assert client.get_experiment(client.get_run(run.run_id).info.experiment_id).name == "study"
    name = f"runs:/{run.run_id}/checkpoints/best.ckpt"
    assert fetch_checkpoint(client, name, tmp_path / "cache").read_text() == "weights"
    for name, value in {"MLFLOW_TRACKING_URI": spec.uri, "MLFLOW_EXPERIMENT_NAME": "study"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("MLFLOW_RUN_ID")
    with tracked_run(spec, tmp_path / "again", "study", None, {}, say=said.append):
        pass
    assert len(said) == 1  # they say the same


@pytest.mark.parametrize(("given", "threads", "used"), [("3", None, 3), ("2,1", None, 2), ("3", 1, 1)])
def test_threads_are_those_of_the_config_or_else_of_the_environment(given, threads, used, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    with process_kept():
        start_process(0, threads)
        assert torch.get_num_threads() == used


@pytest.mark.parametrize("given", ["many", "0", "-1", "1.5"])
def test_a_number_of_threads_that_is_none_is_one_line(given, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    with process_kept(), pytest.raises(ConfigError, match=f"OMP_NUM_THREADS: found '{given}', allowed: a number"):
        start_process(0, None)


@pytest.fixture
def places(tmp_path, monkeypatch):
    """Where compiled code may be kept, the best first, by name; each can be made unusable by a file in its place."""
    monkeypatch.setattr(kernel_cache.tempfile, "gettempdir", lambda: str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "own"))
    (tmp_path / "package").mkdir()
    note.cache_clear()
    return {
        "NUMBA_CACHE_DIR": tmp_path / "own",
        "package": tmp_path / "package/__pycache__",
        "user": tmp_path / "caches/drc_lab",
        "temporary": tmp_path / f"temporary/drc_lab-{os.getuid()}",
    }


def test_compiled_code_is_kept_in_the_first_place_that_takes_files(places, tmp_path, capsys):
    for unusable, (name, place) in enumerate(places.items()):
        assert cache_folder(tmp_path / "package", "abc") == place / "numba-abc", name
        said = capsys.readouterr().err
        assert said.startswith("drc_lab: NUMBA_CACHE_DIR: " if unusable == 1 else ""), said
        assert said.count("\n") == (unusable == 1)  # only where the user's word does not count
        shutil.rmtree(place)
        place.parent.mkdir(exist_ok=True)
        place.touch()
    assert cache_folder(tmp_path / "package", "abc") is None
    assert "compiled code is kept nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("open_to", [0o770, 0o707])
def test_code_is_not_taken_from_a_temporary_folder_that_others_can_write_to(places, tmp_path, open_to):
    for name in ("NUMBA_CACHE_DIR", "package", "user"):
        places[name].parent.mkdir(exist_ok=True)
        places[name].touch()
    places["temporary"].mkdir()
    places["temporary"].chmod(open_to)
    assert cache_folder(tmp_path / "package", "abc") is None
    places["temporary"].rmdir()
    (tmp_path / "elsewhere").mkdir()
    places["temporary"].symlink_to(tmp_path / "elsewhere")
    assert cache_folder(tmp_path / "package", "abc") is None


# --- installations ---


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The package as pip installs it from a wheel, outside of the checkout."""
    site = tmp_path_factory.mktemp("installed") / "site"
    root = Path(__file__).parents[2]
    words = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(site), str(root)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return site


class Other:
    """Another user of this machine, without a home, who can write to a folder of their own and to /tmp."""

    def __init__(self, number, site, folder, temporary):
        self.number, self.folder = number, folder
        folder.mkdir()
        os.chown(folder, number, number)
        kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG", "COVERAGE_PROCESS_START")}
        self.environment = kept | {"PYTHONPATH": str(site), "TMPDIR": str(temporary), "OMP_NUM_THREADS": "1"}

    def start(self, *words, **more):
        # Interpreter and libraries may lie in the home of root, so this user may read all, and write as any other
        may_read = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
        user = ["setpriv", "--reuid", str(self.number), "--regid", str(self.number), "--clear-groups", *may_read]
        command = [*user, sys.executable, "-m", "drc_lab", *words]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, cwd=self.folder, env=self.environment | more, **pipes)

    def run(self, *words, **more):
        process = self.start(*words, **more)
        output, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, ""), errors
        return output


@pytest.fixture
def others(installed, tmp_path):
    """Two other users."""
    if sys.platform != "linux" or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root on Linux, with setpriv, can be other users")
    temporary = tmp_path / "tmp"
    temporary.mkdir()
    temporary.chmod(0o1777)
    return [Other(number, installed, tmp_path / str(number), temporary) for number in OTHERS]


@pytest.mark.slow
def test_two_users_without_a_home_share_an_installation_that_they_cannot_write_to(others, installed, tmp_path):
    before = sorted(installed.rglob("*"))
    one, other = others
    processes = [one.start(*MLP, "folder=run"), other.start(*MLP, "env.id=CartPole-v1", "folder=run")]
    for process in processes:
        output, errors = process.communicate(timeout=240)
        assert (process.returncode, errors) == (0, "") and "checkpoint" in output, errors
        assert len(output.splitlines()) == 2, output  # its progress and the checkpoint, nothing of caches
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "tmp").glob("drc_lab-*/numba-*/*/*.nbc")}
    assert one.number in {path.stat().st_uid for path in kept}
    one.run(*MLP, "folder=again", HOME=str(installed))  # there, and read-only
    now = {path: path.stat().st_mtime_ns for path in (tmp_path / "tmp").glob("drc_lab-*/numba-*/*/*.nbc")}
    assert now == kept  # nothing was compiled again
    other.run(
        "task=evaluate",
        "checkpoint=run/checkpoints/best.ckpt",
        "evaluation.num_levels=10",
        "root=.",
        "threads=1",
        "folder=evaluation",
    )
    assert (other.folder / "evaluation/report.html").is_file()
    assert store_of(one) == store_of(other) == {"FINISHED"}
    assert sorted(installed.rglob("*")) == before
    assert {path.name for path in (installed / "drc_lab/agents").glob("*.ckpt")}
    assert (installed / "drc_lab/conf/config.yaml").is_file()


def store_of(user):
    client = Store(f"sqlite:///{user.folder}/mlflow.db").client
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    return {run.info.status for run in runs}
