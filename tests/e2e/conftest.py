"""What all end-to-end tests share."""


def pytest_configure(config):
    config.addinivalue_line("markers", "flow: a main flow, run under the sanitisers, too (tests/suite flows)")
