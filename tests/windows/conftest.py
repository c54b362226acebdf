"""Fixtures; what they stand on is in wine.py."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))
import wine  # noqa: E402


@pytest.fixture(scope="session")
def session_folder():
    folder = wine.Folder()
    yield folder
    folder.remove()


@pytest.fixture
def folder(session_folder):
    """A folder with the program and the stand-in, for scripts and captures too."""
    return session_folder
