"""What the tests of tracking share."""

import pytest
from mlflow.tracking import MlflowClient


@pytest.fixture(scope="session")
def client(tmp_path_factory):
    """Of an SQLite store that all tests share: making its tables takes seconds."""
    return MlflowClient(f"sqlite:///{tmp_path_factory.mktemp('store')}/mlflow.db")
