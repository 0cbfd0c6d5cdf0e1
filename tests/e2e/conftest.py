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


# The files that take longest go first, so that no worker is left alone with one at the end.
LONGEST = ("test_service_postgresql", "test_release", "test_desk", "test_release_refused", "test_operation",
           "test_attackers", "test_service_nats", "test_story", "test_service_nginx", "test_clock", "test_core")


def pytest_collection_modifyitems(items):
    place = {name: n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONGEST)))


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
