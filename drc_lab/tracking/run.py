"""A run and everything that can be recorded about it. Nothing here waits for a server, but the start of a new run."""

import shlex
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from drc_lab.progress import working
from drc_lab.ranks import rank
from drc_lab.tracking import journal as journals
from drc_lab.tracking.journal import Journal, Operation
from drc_lab.tracking.mlflow import Away, Store, end_status, flatten
from drc_lab.tracking.sender import Sender
from drc_lab.tracking.sinks import CSVSink, TensorBoardSink
from drc_lab.tracking.spec import TrackingSpec
from drc_lab.tracking.to_mlflow import MLflowSink

Say = Callable[[str], object]


class Run:
    """What a run records goes to its journal, and from there to MLflow and other sinks.

    Args:
        experiment: its name.
        journal: None records nothing.
        store: MLflow's, None without it.

    Attributes:
        run_id, experiment_id: MLflow's, None without it.
        shown: where a person looks at it: pairs of a word and a file, an address or a command.
        first_send: what a new run does for MLflow to have its config before anything else.
    """

    def __init__(self, experiment: str, journal: Journal | None = None, store: Store | None = None):
        self.experiment, self.journal, self.store = experiment, journal, store
        ids = journal.run if journal is not None else {}
        self.run_id: str | None = ids.get("run_id")
        self.experiment_id: str | None = ids.get("experiment_id")
        self.shown: list[tuple[str, str]] = []
        self.first_send: Callable[[], None] = lambda: None

    @property
    def client(self) -> MlflowClient | None:
        """For what has no method here; its calls wait for the store. None without MLflow."""
        return None if self.store is None else self.store.client

    def log_config(self, config: Mapping[str, Any], path: Path) -> None:
        """The whole config as artifact, and flattened as params (values cut at 500 characters).

        A new run waits until MLflow has them, to notice early that it keeps no artifacts, say.
        """
        if self.journal is not None:
            params = {name: str(value) for name, value in flatten(config).items()}
            self.journal.add("params", values=params)  # of a run that goes on, those it did not have
            self.log_artifact(path)
            self.first_send()

    def log_metrics(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Scalars at a number of env frames. A metric keeps the first value that it has at a step."""
        if self.journal is not None:
            self.journal.add("metrics", step=int(step), values={k: float(v) for k, v in metrics.items()})

    def log_tags(self, tags: Mapping[str, Any]) -> None:
        """Sets tags of the run."""
        if self.journal is not None:
            self.journal.add("tags", values={name: str(value) for name, value in tags.items()})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copies a file into the artifact store, later: it has to stay where it is."""
        if self.journal is not None:
            self.journal.add_file("artifact", path, folder=folder)

    def log_checkpoint(self, path: Path, metrics: Mapping[str, Any], step: int) -> None:
        """Keeps a checkpoint, with what it was worth at ``step`` frames; one of the same name is replaced."""
        if self.journal is not None:
            values = {name: float(value) for name, value in metrics.items()}
            self.journal.add_file("checkpoint", path, metrics=values, step=int(step))

    def drop_checkpoint(self, name: str) -> None:
        """Deletes the checkpoint of that file name, if it is there."""
        if self.journal is not None:
            self.journal.add("drop", name=name)

    def log_dataset(self, dataset: Mapping[str, str]) -> None:
        """Names data that the run used, once: see `drc_lab.tracking.datasets`."""
        if self.journal is not None:
            self.journal.add("dataset", **dataset)

    @contextmanager
    def child(self, name: str, params: Mapping[str, Any], description: str = "") -> Iterator["ChildRun"]:
        """A nested run, recorded when it ends. There is one of each name: a second one leaves the first as it is."""
        child, started = ChildRun(), journals.now()
        error: BaseException | None = None
        try:
            yield child
        except BaseException as raised:
            error = raised
            raise
        finally:
            if self.journal is not None:
                self.journal.add(
                    "child", name=name, started=started, status=end_status(error), metrics=child.metrics,
                    params={k: str(v) for k, v in params.items()}, description=description,
                    artifacts=[[self.journal.place(path), folder] for path, folder in child.artifacts],
                )  # fmt: skip

    def sync(self) -> None:
        """Returns when all that was recorded is safe on disk: what comes before a checkpoint is not computed again."""
        if self.journal is not None:
            self.journal.sync()


class ChildRun:
    """What a nested run has recorded so far."""

    def __init__(self) -> None:
        self.metrics: list[Operation] = []
        self.artifacts: list[tuple[Path, str | None]] = []

    def log_metrics(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Scalars at a number of env frames."""
        values = {name: float(value) for name, value in metrics.items()}
        self.metrics.append({"time": journals.now(), "step": int(step), "values": values})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Copies a file into the artifact store, later: it has to stay where it is."""
        self.artifacts.append((path, folder))


@contextmanager
def tracked_run(
    spec: TrackingSpec,
    folder: Path,
    experiment: str,
    name: str | None,
    tags: Mapping[str, str],
    resume: bool = False,
    say: Say = print,
) -> Iterator[Run]:
    """A run that ends FINISHED, FAILED (an exception) or KILLED (Ctrl-C, SIGTERM). On ranks above 0 it records nothing.

    Args:
        spec: where to.
        folder: of the run, with the journal.
        experiment: its name; one for each study.
        name: of the run.
        tags: more of them.
        resume: whether the run that was recorded in this folder goes on, if there is one.
        say: tells the user about servers that are away.

    Raises:
        UserError: MLflow is away when a new run begins, or does not know the run that is to go on.
    """
    if rank() > 0:
        yield Run(experiment)
        return
    store = None if spec.uri is None else Store(spec.uri)
    journal, new = _open(store, spec, folder, experiment, name, tags, resume)
    run = Run(experiment, journal, store)
    senders = _senders(run, spec, say)
    if new and store is not None:
        run.first_send = partial(_send_first, senders[0])
    for sender in senders:
        sender.start()
    error: BaseException | None = None
    try:
        yield run
    except BaseException as raised:
        error = raised
        raise
    finally:
        journal.add("status", status=end_status(error))
        finish(senders, journal, spec.patience_seconds, say)


def _open(
    store: Store | None,
    spec: TrackingSpec,
    folder: Path,
    experiment: str,
    name: str | None,
    tags: Mapping[str, str],
    resume: bool,
) -> tuple[Journal, bool]:
    """The journal, and whether it is a new one. Nothing is written before MLflow knows the run."""
    path = folder / journals.FILE
    with ExitStack() as stack:
        old = stack.enter_context(Journal(path)) if path.is_file() else None  # no other process has it
        before = old.run if old is not None and resume else {}
        ids = {key: before.get(key) for key in ("experiment_id", "run_id", "uri")}
        if store is not None:
            ids["uri"] = store.uri
            if ids["run_id"] is None:
                with working("opening a run in MLflow"):
                    begun = store.begin_run(spec.artifacts, experiment, name, tags, folder)
                ids["experiment_id"], ids["run_id"] = begun
            else:
                with suppress(Away):  # as the sender will tell
                    store.check_run(ids["run_id"])
        if old is None or not resume:
            return Journal.new(path, experiment=experiment, **ids), True
        if ids != {key: before.get(key) for key in ids}:
            old.add("run", experiment=experiment, **ids)
        old.add("status", status="RUNNING")
        stack.pop_all()
        return old, False


def _senders(run: Run, spec: TrackingSpec, say: Say) -> list[Sender]:
    """One for each place that the run is sent to, MLflow's first; notes in the run where a person finds it."""
    journal, senders = run.journal, []
    assert journal is not None
    if run.store is not None:
        senders.append(to_mlflow(journal, run.store, say))
        run.shown.append(("MLflow", run.store.pages(str(run.experiment_id), str(run.run_id))))
    if spec.csv:
        csv = CSVSink(journal.folder)
        senders.append(Sender(journal, csv, 0, lambda position: None, say))
        run.shown.append(("metrics", str(csv.path)))
    if spec.tensorboard:
        board = TensorBoardSink(journal.folder)
        senders.append(Sender(journal, board, 0, lambda position: None, say))
        run.shown.append(("curves", f"tensorboard --logdir {board.path}"))
    return senders


def _send_first(sender: Sender) -> None:
    try:
        sender.flush()
    except Exception:
        sender.leave_out()  # for the run to end as FAILED
        raise


def to_mlflow(journal: Journal, store: Store, say: Say) -> Sender:
    """What sends the rest of a journal to the run that it names."""
    sink = MLflowSink(store, journal.run["experiment_id"], journal.run["run_id"], journal.folder)
    return Sender(journal, sink, journal.sent, journal.mark_sent, say)


def finish(senders: list[Sender], journal: Journal, patience: float, say: Say) -> None:
    """Waits for the senders; if one gives up, says how the rest is sent."""
    try:
        for sender in senders:
            sender.finish(patience)
    finally:
        journal.close()
        if left := [sender.sink.name for sender in senders if not sender.done]:
            command = shlex.join([*python(), "task=sync", f"folder={journal.folder}"])
            say(
                f"{left[0]} does not have all of it. The same command in the same folder sends the rest, or:  {command}"
            )


def python() -> list[str]:
    """This program as a command."""
    path = Path(sys.executable)
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    return [str(path), "-m", "drc_lab"]
