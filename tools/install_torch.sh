#!/usr/bin/env bash
# Put the torch that constraints.txt pins into a virtual environment, in the build that suits the machine:
#   tools/install_torch.sh PYTHON [VERSION]
# Linux without an NVIDIA GPU gets the CPU build (about 200 MB) where one can be had, for the ordinary build
# brings gigabytes of CUDA packages along. Only torch's own wheel is installed here; the rest is left to
# `pip install -e .[dev]`, which keeps this torch: the pin 2.13.0 is met by 2.13.0+cpu.
# With TORCH_CPU_ONLY=1 it takes that build beside a GPU too, and fails where there is none.
set -euo pipefail

python=$1
version=${2:-$(sed -n 's/^torch==//p' "$(dirname "$0")/../constraints.txt")}
cpu_index=${TORCH_CPU_INDEX:-https://download.pytorch.org/whl/cpu}

pip_install() { "$python" -m pip install --no-deps "$@"; }

installed=$("$python" -c 'from importlib.metadata import version as v; print(v("torch"))' 2>/dev/null || true)
if [[ ${installed%%+*} == "$version" ]]; then
  exit 0
fi

if [[ $(uname -s) != Linux ]] || { [[ -z ${TORCH_CPU_ONLY:-} ]] && nvidia-smi >/dev/null 2>&1; }; then
  pip_install "torch==$version"
  exit 0
fi

echo "No NVIDIA GPU here: looking for the CPU build of torch $version."
pip_install "torch==$version+cpu" 2>/dev/null && exit 0
echo "pip's own index has none; asking $cpu_index"
pip_install --timeout 10 --retries 1 --index-url "$cpu_index" "torch==$version+cpu" 2>/dev/null && exit 0
[[ -z ${TORCH_CPU_ONLY:-} ]] || { echo "No CPU build of torch $version to be had." >&2; exit 1; }
echo "No CPU build to be had: taking the ordinary build, which downloads several GB of CUDA packages."
pip_install "torch==$version"
