"""A run and everything that can be recorded about it. Only the start of a new run waits for a server."""

import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from mlflow.tracking import MlflowClient

from drc_lab.errors import CannotWrite, UserError
from drc_lab.launch import override, python
from drc_lab.passwords import HIDDEN, VARIABLE, hidden
from drc_lab.progress import working
from drc_lab.ranks import rank
from drc_lab.tracking import journal as journals
from drc_lab.tracking.environment import overridden
from drc_lab.tracking.journal import Journal, Operation
from drc_lab.tracking.mlflow import Away, Store, end_status, flatten, in_one_line
from drc_lab.tracking.sender import Sender
from drc_lab.tracking.sinks import CSVSink, TensorBoardSink
from drc_lab.tracking.spec import TrackingSpec
from drc_lab.tracking.to_mlflow import MLflowSink

Say = Callable[[str], object]


class Run:
    """Writes everything that is recorded to the run's journal, from where it is sent to MLflow and other sinks.

    Args:
        experiment: name of the experiment.
        journal: the run's journal; None records nothing.
        store: the MLflow store, None without MLflow.

    Attributes:
        run_id, experiment_id: MLflow's ids, None without MLflow.
        shown: where a user can view the run: pairs of a label and a file, an address or a command.
        first_send: sends the first operations (the config) of a new run to MLflow and waits for it.
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
        """The MLflow client, for what this class has no method for; its calls block. None without MLflow."""
        return None if self.store is None else self.store.client

    def log_config(self, config: Mapping[str, Any], path: Path) -> None:
        """Records the whole config as an artifact, and flattened as params (values cut at 500 characters).

        A new run waits until MLflow has them, so that problems (a store that accepts no artifacts, say) show early.
        """
        if self.journal is not None:
            params = {name: str(value) for name, value in flatten(config).items()}
            self.journal.add("params", values=params)  # in a resumed run only those that are new
            self.log_artifact(path)
            self.first_send()

    def log_metrics(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Records scalars at ``step`` env frames. If a metric already has a value at that step, the old one is kept."""
        if self.journal is not None:
            self.journal.add("metrics", step=int(step), values={k: float(v) for k, v in metrics.items()})

    def log_tags(self, tags: Mapping[str, Any]) -> None:
        """Sets tags of the run."""
        if self.journal is not None:
            self.journal.add("tags", values={name: str(value) for name, value in tags.items()})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Records a file as an artifact. It is copied to the artifact store later, so it must stay where it is."""
        if self.journal is not None:
            self.journal.add_file("artifact", path, folder=folder)

    def log_checkpoint(self, path: Path, metrics: Mapping[str, Any], step: int) -> None:
        """Records a checkpoint with its metrics at ``step`` frames; it replaces one of the same file name."""
        if self.journal is not None:
            values = {name: float(value) for name, value in metrics.items()}
            self.journal.add_file("checkpoint", path, metrics=values, step=int(step))

    def drop_checkpoint(self, name: str) -> None:
        """Deletes the checkpoint with that file name, if it exists."""
        if self.journal is not None:
            self.journal.add("drop", name=name)

    def log_dataset(self, dataset: Mapping[str, str]) -> None:
        """Records data that the run used, each only once; see `drc_lab.tracking.datasets`."""
        if self.journal is not None:
            self.journal.add("dataset", **dataset)

    @contextmanager
    def child(self, name: str, params: Mapping[str, Any], description: str = "") -> Iterator["ChildRun"]:
        """A nested run, recorded when the context ends.

        A finished nested run of a name is recorded only once: a later one of the same name is ignored.
        """
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
                    "child",
                    name=name,
                    started=started,
                    status=end_status(error),
                    metrics=child.metrics,
                    params={k: str(v) for k, v in params.items()},
                    description=description,
                    artifacts=[[self.journal.place(path), folder] for path, folder in child.artifacts],
                )

    def sync(self) -> None:
        """Waits until everything recorded is on the disk.

        It is called before a checkpoint is written, because a resumed run does not compute again what came before it.
        """
        if self.journal is not None:
            self.journal.sync()


class ChildRun:
    """Collects what a nested run records."""

    def __init__(self) -> None:
        self.metrics: list[Operation] = []
        self.artifacts: list[tuple[Path, str | None]] = []

    def log_metrics(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Records scalars at ``step`` env frames."""
        values = {name: float(value) for name, value in metrics.items()}
        self.metrics.append({"time": journals.now(), "step": int(step), "values": values})

    def log_artifact(self, path: Path, folder: str | None = None) -> None:
        """Records a file as an artifact. It is copied to the artifact store later, so it must stay where it is."""
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
    """Records a run, whose status in the end is FINISHED, FAILED (an exception) or KILLED (Ctrl-C, SIGTERM).

    On ranks above 0 it records nothing.

    Args:
        spec: where the run is recorded.
        folder: folder of the run, which has the journal.
        experiment: name of the experiment; each study has one.
        name: name of the run.
        tags: additional tags.
        resume: whether to resume the run that was recorded in this folder, if there is one.
        say: called with one-line messages about servers that cannot be reached.

    Raises:
        UserError: MLflow cannot be reached when a new run begins, or does not have the run that should be resumed, or
            nothing can be written to the folder.
        CannotWrite: the disk took no more later.
    """
    if rank() > 0:
        yield Run(experiment)
        return
    store = None if spec.uri is None else Store(spec.uri)
    try:
        journal, new = _open(store, spec, folder, experiment, name, tags, resume)
    except CannotWrite as refused:
        raise UserError(str(refused)) from None
    if told := store is not None and overridden(store.name, experiment, folder):
        say(told)
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
        try:
            journal.add("status", status=end_status(error))
        except CannotWrite:
            if error is None:
                raise
        finally:
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
    """Opens the journal; also returns whether it is new. Nothing is written to it before MLflow has the run."""
    path = folder / journals.FILE
    with ExitStack() as stack:
        old = stack.enter_context(Journal(path)) if path.is_file() else None  # fails if another process has it open
        before = old.run if old is not None and resume else {}
        ids = {key: before.get(key) for key in ("experiment_id", "run_id", "uri")}
        if store is not None:
            ids["uri"] = hidden(store.uri)
            if ids["run_id"] is None:
                with working("opening a run in MLflow"):
                    begun = store.begin_run(spec.artifacts, experiment, name, tags, folder)
                ids["experiment_id"], ids["run_id"] = begun
            else:
                with suppress(Away):  # the sender will report it
                    store.check_run(ids["run_id"])
        if old is None or not resume:
            return Journal.new(path, experiment=experiment, **ids), True
        if ids != {key: before.get(key) for key in ids}:
            old.add("run", experiment=experiment, **ids)
        old.add("status", status="RUNNING")
        stack.pop_all()
        return old, False


def _senders(run: Run, spec: TrackingSpec, say: Say) -> list[Sender]:
    """Makes a sender for each sink, MLflow's first, and adds to ``run.shown`` where a user can view the run."""
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
    except Exception as error:
        sender.leave_out()  # so that the end of the run (FAILED) can still be sent
        if isinstance(error, Away | OSError | ImportError):
            raise Away(f"{sender.sink.name} does not take the run's config: {in_one_line(error)}") from error
        raise


def to_mlflow(journal: Journal, store: Store, say: Say, outside: bool = True) -> Sender:
    """A sender for the operations that MLflow does not have yet, to the run that the journal names.

    Without ``outside`` it sends no files that lie outside of the run's folder.
    """
    sink = MLflowSink(store, journal.run["experiment_id"], journal.run["run_id"], journal.folder, outside)
    return Sender(journal, sink, journal.sent, journal.mark_sent, say)


def finish(senders: list[Sender], journal: Journal, patience: float, say: Say) -> None:
    """Waits for the senders; if one gives up, tells the user how to send the rest later."""
    try:
        for sender in senders:
            sender.finish(patience)
    finally:
        for sender in senders:  # also after Ctrl-C, while one waits
            sender.give_up()
        journal.close()
        if left := [sender.sink.name for sender in senders if not sender.done]:
            command = shlex.join([*python(), "task=sync", override("folder", journal.folder), *_given_uri(journal)])
            say(
                f"{left[0]} does not have all of it. The same command in the same folder sends the rest, or:  {command}"
            )


def _given_uri(journal: Journal) -> list[str]:
    """The override with a store's URI, if its journal lacks the password."""
    uri = str(journal.run.get("uri"))
    return [f"tracking.uri={uri.replace(HIDDEN, f'${{oc.env:{VARIABLE}}}')}"] if HIDDEN in uri else []
