#!/usr/bin/env bash
# Renew constraints.txt from a throw-away environment: tools/lock.sh PYTHON [TORCH_VERSION]
# Takes the newest versions that pyproject.toml allows. Torch stays where it is unless a version is named.
set -euo pipefail
cd "$(dirname "$0")/.."

python=$1
torch=${2:-$(sed -n 's/^torch==//p' constraints.txt)}
venv=$(mktemp -d)
trap 'rm -rf "$venv"' EXIT

"$python" -m venv "$venv"
tools/install_torch.sh "$venv/bin/python" "$torch"
"$venv/bin/pip" install "torch==$torch" '.[dev,bench]'
"$venv/bin/pip" freeze --all --exclude pip --exclude drc-lab | sed 's/^\(torch==[^+]*\)+.*/\1/' >"$venv/pins" # no +cpu
{
  echo "# The exact versions that \`make install\` takes. Renew with: make lock"
  cat "$venv/pins"
} >constraints.txt
