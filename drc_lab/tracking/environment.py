"""MLflow's environment variables: those with a default of our own, and those that the config decides in place of."""

import os
from pathlib import Path

from drc_lab.passwords import hidden

DEFAULTS = {
    # MLflow's defaults retry for minutes, during which neither a wrong address nor a dead server would be noticed.
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "15",
    "MLFLOW_HTTP_RESPECT_RETRY_AFTER_HEADER": "false",  # a busy server may ask for an hour
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}


def set_defaults() -> None:
    """Sets the variables that the user has not set."""
    for name, value in DEFAULTS.items():
        os.environ.setdefault(name, value)


def overridden(uri: str, experiment: str | None = None, folder: Path | None = None) -> str:
    """One line about variables that say something other than the config does, which counts; empty if there are none.

    Args:
        uri: of the store, as it was given.
        experiment: that a run is recorded in; None only reads.
        folder: of that run.
    """
    counts = {"MLFLOW_TRACKING_URI": ("tracking.uri", hidden(uri))}
    if experiment is not None:
        study = ("study", experiment)
        counts |= {
            "MLFLOW_EXPERIMENT_NAME": study,
            "MLFLOW_EXPERIMENT_ID": study,
            "MLFLOW_RUN_ID": ("folder", str(folder)),
        }
    others = {name: key for name, key in counts.items() if hidden(os.environ.get(name, "")) not in ("", key[1])}
    used = ", ".join(dict.fromkeys(f"{key}={value}" for key, value in others.values()))
    return f"{', '.join(others)}: without effect here, what counts is {used}" if others else ""
