"""Where the ranks that Lightning starts on one machine meet: at an address that only this machine can reach.

Torch's own meeting point listens at all addresses of the machine, without a password.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import lightning as L
import psutil
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.pytorch.strategies import DDPStrategy
from torch.distributed import TCPStore  # type: ignore[attr-defined]

LOOPBACK = "127.0.0.1"


@contextmanager
def on_this_machine(trainer: L.Trainer) -> Iterator[None]:
    """Hosts the meeting point of a training whose ranks this process starts within the context.

    Nothing changes for one process, several machines, torchrun and Slurm, and where MASTER_ADDR is set.
    """
    strategy = trainer.strategy
    environment = strategy.cluster_environment if isinstance(strategy, DDPStrategy) else None
    ours = isinstance(environment, LightningEnvironment) and not environment.creates_processes_externally
    if not ours or trainer.num_nodes > 1 or "MASTER_ADDR" in os.environ:
        yield
        return
    listener = socket.create_server((LOOPBACK, 0))
    port = listener.getsockname()[1]
    store = TCPStore(LOOPBACK, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())
    changes = {"MASTER_ADDR": LOOPBACK, "MASTER_PORT": str(port), "TORCHELASTIC_USE_AGENT_STORE": "True"}
    interfaces = psutil.net_if_addrs().items()
    loopback = [name for name, addresses in interfaces if any(each.address == LOOPBACK for each in addresses)]
    changes["GLOO_SOCKET_IFNAME"] = os.environ.get("GLOO_SOCKET_IFNAME", loopback[0] if loopback else "")
    before = {name: os.environ.get(name) for name in changes}
    os.environ.update({name: value for name, value in changes.items() if value})
    try:
        yield
    finally:
        del store
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
