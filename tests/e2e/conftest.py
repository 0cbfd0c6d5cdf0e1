"""What all end-to-end tests share."""

import pytest

from hub import Hub


def pytest_configure(config):
    config.addinivalue_line("markers", "flow: a main flow, run under the sanitisers, too (tests/suite flows)")


@pytest.fixture(scope="module")
def hub():
    with Hub() as h:
        h.make_repo()
        yield h


@pytest.fixture(scope="module")
def ada(hub):
    return hub.engineer("ada", roles="support,enrol")
