"""Fixtures of tests that run commands."""

import pytest

import jitgrad
from jitgrad.cli import main


@pytest.fixture
def command(capsys):
    """Run a command in this process; gives its exit code, standard output and standard error."""

    def run(*arguments):
        capsys.readouterr()
        try:
            code = main([str(a) for a in arguments])
        except SystemExit as stop:
            code = stop.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture(autouse=True)
def same_threads():
    before = jitgrad.get_num_threads()
    yield
    jitgrad.set_num_threads(before)
