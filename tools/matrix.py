"""Tries the project on each Python and on the lowest versions that pyproject.toml allows: python tools/matrix.py

Every environment is first resolved, to wheels alone, and then made and tested where its interpreter and torch's CPU
build can be had; what could not be is said, and why. Arguments name environments, all others are pytest's, in place of
the tests below: python tools/matrix.py 3.11-lowest tests/envs
"""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
ENVIRONMENTS = ["3.11-lowest", "3.11", "3.12", "3.13", "3.14"]
TESTS = [  # a fast file of each part; `make matrix ARGS=tests` takes all that are not slow
    "tests/envs/test_external.py", "tests/envs/test_ricochet.py", "tests/models/test_drc.py",
    "tests/learning/test_losses.py", "tests/learning/test_agent.py", "tests/evaluation/test_report_page.py",
    "tests/interpretation/test_hooks.py", "tests/interpretation/test_saliency.py", "tests/deploy/test_formats.py",
    "tests/tracking/test_run.py", "tests/test_configs.py", "tests/test_sb3.py",
]  # fmt: skip
SOURCE_ONLY = ["antlr4-python3-runtime"]  # has no wheels on any Python
PYENV = sorted(str(path) for path in Path.home().glob(".pyenv/versions/3.*/bin"))
ENVIRONMENT = os.environ | {
    "PATH": os.pathsep.join([*PYENV, os.environ["PATH"]]),  # past pyenv's shims, which no tool can ask for a version
    "UV_NO_PROGRESS": "1",
    "TORCH_CPU_ONLY": "1",
}


class Skipped(Exception):
    """Why an environment could not be tried."""


def said(*command: str | Path, reason: str = "") -> str:
    """What a command prints; if it fails, the environment is skipped for that reason, or has failed."""
    done = subprocess.run([str(word) for word in command], cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True)
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise Skipped(reason) if reason else RuntimeError(f"{' '.join(map(str, command))}\n{tail}")
    return done.stdout.strip()


def interpreter(version: str) -> str:
    """Found on the machine, or fetched."""
    try:
        return said("uv", "python", "find", version, reason="not here")
    except Skipped:
        said("uv", "python", "install", version, reason=f"no Python {version} here, and uv could fetch none")
        return said("uv", "python", "find", version)


def torch_of(python: Path, lowest: bool) -> str:
    """The version of torch that was put into an environment: always a CPU build."""
    pinned = re.search(r"^torch==(\S+)", (ROOT / "constraints.txt").read_text(), re.MULTILINE)[1]
    needs = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    least = next(re.search(r">=([\d.]+)", need)[1] for need in needs if need.startswith("torch>="))
    least += ".0" * (2 - least.count("."))
    for version in [least, pinned] if lowest else [pinned]:
        try:
            said(ROOT / "tools/install_torch.sh", python, version, reason=f"no CPU build of torch {version} to be had")
            return version
        except Skipped as why:
            reason = why
            print(f"  {why}", flush=True)
    raise reason


def attempt(version: str, lowest: bool, folder: Path, arguments: list[str]) -> str:
    """What came of one environment."""
    names = [name for only in SOURCE_ONLY for name in ("--no-binary", only)]
    ways = ["--resolution", "lowest-direct"] if lowest else ["--constraint", "constraints.txt"]
    arguments = ["-q", "-p", "no:cacheprovider", "-m", "not slow", *arguments]
    found = said(
        "uv",
        "pip",
        "compile",
        "pyproject.toml",
        "--extra",
        "dev",
        "--python-version",
        version,
        "--no-header",
        "--only-binary",
        ":all:",
        *names,
        *ways,
    )
    print(f"  {len(re.findall('^[^ #]', found, re.MULTILINE))} packages resolved", flush=True)
    said("uv", "venv", "--clear", "--seed", "--python", interpreter(version), folder)
    python = folder / "bin/python"
    torch = torch_of(python, lowest)
    (folder / "torch.txt").write_text(f"torch=={torch}\n")
    said("uv", "pip", "install", "--python", python, "--override", folder / "torch.txt", "--editable", ".[dev]", *ways)
    mine = ["-W", "default"] if lowest else []  # old releases warn of what newer ones have mended
    code = subprocess.run([python, "-m", "pytest", *mine, *arguments], cwd=ROOT, env=ENVIRONMENT).returncode
    return f"{'passed' if code == 0 else 'FAILED'} with torch {torch}"


def main() -> None:
    folder = Path(os.environ.get("MATRIX", ROOT / "outputs/matrix"))
    chosen = [name for name in ENVIRONMENTS if name in sys.argv[1:]] or ENVIRONMENTS
    arguments = [word for word in sys.argv[1:] if word not in ENVIRONMENTS] or TESTS
    outcomes = {}
    for name in chosen:
        print(name, flush=True)
        version, lowest = name.removesuffix("-lowest"), name.endswith("-lowest")
        try:
            outcomes[name] = attempt(version, lowest, folder / name, arguments)
        except Skipped as why:
            outcomes[name] = f"resolved, tests skipped: {why}"
        except RuntimeError as error:
            outcomes[name] = f"FAILED: {error}"
    print(*(f"{name}: {outcome}" for name, outcome in outcomes.items()), sep="\n")
    sys.exit(any("FAILED" in outcome for outcome in outcomes.values()))


if __name__ == "__main__":
    main()
