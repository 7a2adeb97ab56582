"""Does the project work on an NVIDIA GPU, and how fast is it there?

    make gpu-check OUT=FOLDER

runs the tests that need a GPU, task=policy_speed, task=benchmark and a minute of training on Boxoban, and writes
gpu_check.json, tables and a log into the folder. It needs a checkout, Python 3.11 or newer with torch for CUDA, and no
network. Packages that are missing there are installed, for this check alone, from wheels that lie in .wheels; where
there is a package index, and this project is installed,

    make gpu-wheels

puts them there, and as many levels of Boxoban as a check needs. Then take the checkout along with that folder.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
MACHINE = Path(__file__).with_name("gpu_machine.txt")
MODULES = ("torch", "lightning", "hydra", "omegaconf", "gymnasium", "mlflow", "pydantic", "numba", "pytest")
PLATFORMS = ("manylinux_2_28_x86_64", "manylinux_2_27_x86_64", "manylinux_2_17_x86_64", "manylinux2014_x86_64")
WARM_UP = 15  # seconds of the training that do not count: compilation, recordings
# Of each split, the files of 1,000 that are taken along: no figure of a check is of levels that a study tests on.
LEVELS = {"train": ("train", 0, 20), "valid": ("valid", 0, 1), "test": ("valid", 1, 2)}  # files of 1,000
TINY = {
    "policy": ["policy_speed.hidden_channels=4", "policy_speed.num_layers=1", "policy_speed.envs=[2]",
               "policy_speed.steps=2", "policy_speed.batches=[2]", "policy_speed.conv_batches=[2]",
               "policy_speed.timings=1"],
    "benchmark": ["policy.hidden_channels=4", "algo.rollouts.num_envs=8", "algo.rollouts.frames=1_000",
                  "benchmark.only=[boxoban,boxoban_no_graphs]", "algo.rollouts.num_steps=4"],
    "training": ["policy.hidden_channels=4", "algo.rollouts.num_envs=8", "evaluation.num_levels=4",
                 "algo.log_every_rollouts=1"],
}  # fmt: skip


def main() -> None:
    """Runs what is asked for, prints a summary, and ends with 1 if a part failed, 2 if it could not begin."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, help="for gpu_check.json, the tables and the log")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--seconds", type=int, default=60, help="of the training")
    parser.add_argument("--minutes", type=float, default=8, help="of the whole check; what is left then is cut short")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="all sizes small: does the check itself work?")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".wheels", help="what --bring has brought")
    parser.add_argument("--levels", type=Path, help="a folder of Boxoban; what --bring has brought, if none is named")
    parser.add_argument("--bring", type=Path, metavar="FOLDER", help="fill it with what a bare machine lacks")
    args = parser.parse_args()
    if args.bring:
        bring(args.bring, args.levels)
        return
    if not args.out:
        parser.error("--out: found none, allowed: a folder")
    with tempfile.TemporaryDirectory() as scratch:
        environment = installed(args.wheels, Path(scratch) / "site")
        levels = args.levels or args.wheels / "boxoban"
        if not (levels / "unfiltered").is_dir():
            sys.exit(refused(f"--levels: found {levels}, allowed: a folder that holds unfiltered/train/000.txt"))
        Check(args, levels.resolve(), Path(scratch), environment).run()


def refused(line: str) -> int:
    """Prints it; the exit code."""
    print(f"gpu_check: {line}", file=sys.stderr)
    return 2


def installed(wheels: Path, site: Path) -> dict[str, str]:
    """The environment of the commands, in which nothing is missing."""
    environment = os.environ | {
        "PYTHONUNBUFFERED": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "HYDRA_FULL_ERROR": "1",
    }
    missing = [name for name in MODULES if find_spec(name) is None]
    path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    if missing and any(wheels.glob("*.whl")):
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile",
                   "--no-cache-dir", "--target", site, *wheels.glob("*.whl")]  # fmt: skip
        if subprocess.run(install, check=False).returncode:
            sys.exit(refused(f"--wheels: pip refused those in {wheels}"))
        path.insert(0, str(site))
        missing = [name for name in missing if not (site / name).is_dir()]
    if missing:
        sys.exit(
            refused(f"{', '.join(missing)} missing: 'make gpu-wheels', where there is a package index, fills .wheels")
        )
    return environment | {"PYTHONPATH": os.pathsep.join(path)}


class Check:
    """The parts, one after the other, each a command of its own; what fails does not keep the others from running.

    Args:
        args: of the command line.
        levels: a folder of Boxoban.
        scratch: for what is not kept.
        environment: of the commands.
    """

    def __init__(self, args: argparse.Namespace, levels: Path, scratch: Path, environment: dict[str, str]):
        self.args, self.levels, self.scratch, self.environment = args, levels, scratch, environment
        self.out: Path = args.out.resolve()
        self.out.mkdir(parents=True, exist_ok=True)
        self.found: dict[str, Any] = {"parts": {}}
        self.until = time.monotonic() + 60 * args.minutes

    def run(self) -> None:
        """All parts; the summary is written anew after each."""
        print_machine = (
            "import json, torch; from drc_lab.process import machine_name; gpu = torch.cuda.is_available();"
            "print(json.dumps({'gpu': torch.cuda.get_device_name() if gpu else None, 'cpu': machine_name(),"
            "'torch': torch.__version__, 'cuda': torch.version.cuda, 'cudnn': torch.backends.cudnn.version()}))"
        )
        output = self.command("machine", [sys.executable, "-c", print_machine], 120)
        if not self.found["parts"]["machine"]["code"]:
            self.found |= json.loads(output.splitlines()[-1])
        for name in self.args.parts:
            PARTS[name](self)
            (self.out / "gpu_check.json").write_text(json.dumps(self.found, indent=1))
        print(json.dumps(self.found, indent=1))
        sys.exit(any(part["code"] for part in self.found["parts"].values()))

    def command(self, name: str, command: list[Any], seconds: int) -> str:
        """What it printed, which also goes into the log; its exit code and time are noted. Killed after ``seconds``, or
        when the check's minutes are over."""
        started, log = time.monotonic(), self.out / "gpu_check.log"
        with log.open("a") as file:
            file.write(f"\n$ {' '.join(map(str, command[1:]))[:300]}\n")
            file.flush()
            begin = file.tell()
            limit = min(seconds, max(1, self.until - started))
            try:
                code = subprocess.run(command, env=self.environment, cwd=self.scratch, stdout=file,
                                      stderr=subprocess.STDOUT, timeout=limit, check=False).returncode  # fmt: skip
            except subprocess.TimeoutExpired:
                code = 124
        took = round(time.monotonic() - started, 1)
        self.found["parts"][name] = {"code": code, "seconds": took}
        print(f"{name}: {'exit code ' + str(code) if code else 'fine'}, {took} s", flush=True)
        with log.open() as file:
            file.seek(begin)
            return file.read()

    def task(self, name: str, seconds: int, *overrides: str) -> Path:
        """Runs one of the project's tasks; its folder."""
        folder = self.scratch / name
        tiny = TINY[name.split("_")[0]] if self.args.tiny else []
        command = [sys.executable, "-m", "drc_lab", *overrides, *tiny, f"folder={folder}", f"root={self.scratch}"]
        self.command(name, command, seconds)
        return folder

    @property
    def accelerator(self) -> str:
        """As overrides say it."""
        return "gpu" if self.args.device == "cuda" else "cpu"

    def tests(self) -> None:
        """All tests that need a GPU."""
        files = {path for path in (ROOT / "tests").rglob("test_*.py") if "mark.gpu" in path.read_text()}
        files.add(ROOT / "tests" / "models" / "test_gates.py")
        workers = "1" if self.args.tiny else "8"
        command = [sys.executable, "-m", "pytest", "-q", "-n", workers, "-rf", "--no-header", "-p", "no:cacheprovider",
                   "-W", "default", "--rootdir", ROOT, "-c", ROOT / "pyproject.toml", *sorted(files)]  # fmt: skip
        if self.args.tiny:
            command += ["-k", "gpu or gates"]
        output = self.command("tests", command, 200)
        counts = re.findall(r"(\d+) (passed|failed|skipped|error)", output.splitlines()[-1] if output else "")
        self.found["tests"] = {word: int(number) for number, word in counts}

    def policy(self) -> None:
        """task=policy_speed in float32 and with TF32; bfloat16 stands beside both."""
        for name, precision in (("float32", "highest"), ("tf32", "high")):
            sizes = f"policy_speed.device={self.args.device}", "policy_speed.envs=[256,1024,4096]"
            folder = self.task(f"policy_{name}", 100, "+experiment=policy_speed", f"matmul_precision={precision}",
                               *sizes, "policy_speed.batches=[32,256]", "policy_speed.conv_batches=[32,256,1024]",
                               "policy_speed.timings=3")  # fmt: skip
            self.keep(folder / "policy_speed.csv", f"policy_speed_{name}.csv")
        self.keep(folder / "profile.csv", "profile.csv")
        self.keep(folder / "convolution.csv", "convolution.csv")

    def benchmark(self) -> None:
        """task=benchmark with benchmark=gpu."""
        folder = self.task("benchmark", 240, "+experiment=benchmark", "benchmark=gpu", self.data,
                           f"trainer.accelerator={self.accelerator}", "tracking=csv")  # fmt: skip
        self.keep(folder / "benchmark.csv", "benchmark.csv")

    def training(self) -> None:
        """The published recipe, end to end: frames a second from what the run's journal holds."""
        seconds = 10 if self.args.tiny else self.args.seconds + WARM_UP
        clock = f"00:00:{seconds // 60:02}:{seconds % 60:02}"
        own = f"trainer.accelerator={self.accelerator}", f"trainer.max_time={clock}", "algo.log_every_rollouts=5"
        folder = self.task("training", seconds + 120, "+experiment=boxoban", "task=train", self.data, *own,
                           "matmul_precision=high", "evaluation.num_levels=256")  # fmt: skip
        journal = folder / "tracking.jsonl"
        lines = [json.loads(line) for line in journal.read_text().splitlines()] if journal.is_file() else []
        self.found["training"] = pace(lines, 0 if self.args.tiny else WARM_UP)

    @property
    def data(self) -> str:
        """The levels, as an override."""
        return f"data.folder={self.levels}"

    def keep(self, path: Path, name: str) -> None:
        """Copies a table to where the results go, if it was made."""
        if path.is_file():
            shutil.copy(path, self.out / name)


PARTS = {"tests": Check.tests, "policy": Check.policy, "benchmark": Check.benchmark, "training": Check.training}


def pace(lines: list[dict[str, Any]], warm_up: float) -> dict[str, float]:
    """Frames a second of a training by its journal, from the first metrics that come ``warm_up`` seconds after the
    first ones to the last of the training; and what it had come to."""
    points = [line for line in lines if line["op"] == "metrics" and "loss/total" in line["values"]]
    counted = [point for point in points if point["time"] >= points[0]["time"] + 1000 * warm_up]
    if len(counted) < 2:
        return {}
    first, last = counted[0], counted[-1]
    seconds = (last["time"] - first["time"]) / 1000
    return {
        "frames_per_second": round((last["step"] - first["step"]) / seconds),
        "seconds": round(seconds, 1),
        "frames": last["step"],
        "train/solve_rate": round(last["values"]["train/solve_rate"], 4),
    }


def bring(folder: Path, levels: Path | None) -> None:
    """Fills the folder with wheels for Python 3.12 on Linux of what the project needs and such a machine lacks, and
    with some levels."""
    from packaging.requirements import Requirement

    there = {line.split("#")[0].strip() for line in MACHINE.read_text().splitlines()}
    wanted, waiting = set(), ["drc-lab"]
    while waiting:
        for text in metadata.requires(waiting.pop()) or []:
            need = Requirement(text)
            name = re.sub(r"[-_.]+", "-", need.name).lower()
            applies = need.marker is None or need.marker.evaluate({"extra": "", "python_version": "3.12"})
            if applies and name not in there | wanted:
                wanted.add(name)
                waiting.append(name)
    folder.mkdir(parents=True, exist_ok=True)
    kinds = [f"--platform={platform}" for platform in PLATFORMS]
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    for name in sorted(wanted):
        exact = f"{name}=={metadata.version(name)}"
        download = [*pip, "download", "-q", "--no-deps", "--only-binary=:all:", "--python-version=3.12",
                    "--implementation=cp", *kinds, "-d", folder, exact]  # fmt: skip
        if subprocess.run(download, check=False, capture_output=True).returncode:  # there is none but its source
            subprocess.run([*pip, "wheel", "-q", "--no-deps", "-w", folder, exact], check=True)
    for split, (source, first, last) in LEVELS.items() if levels else ():
        target = folder / "boxoban" / "unfiltered" / split
        target.mkdir(parents=True, exist_ok=True)
        for path in sorted((levels / "unfiltered" / source).glob("*.txt"))[first:last]:
            shutil.copy(path, target)
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    print(f"{folder}: {len(wanted)} packages, {size / 2**20:.0f} MiB in all")


if __name__ == "__main__":
    main()
