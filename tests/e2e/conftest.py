"""What all end-to-end tests share."""

import os
import shutil
import tempfile

import pytest

from hub import Hub


def pytest_configure(config):
    config.addinivalue_line("markers", "flow: a main flow, run under the sanitisers, too (tests/suite flows)")
    # What one test makes for all of this run; workers of xdist are given its name.
    if not hasattr(config, "workerinput"):
        os.environ["MAINSTAY_E2E_SHARED"] = tempfile.mkdtemp(prefix="mainstay-e2e-shared.")


def pytest_unconfigure(config):
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop("MAINSTAY_E2E_SHARED"), ignore_errors=True)


@pytest.fixture(scope="module")
def hub():
    with Hub() as h:
        h.make_repo()
        yield h


@pytest.fixture(scope="module")
def ada(hub):
    return hub.engineer("ada", roles="support,enrol")
