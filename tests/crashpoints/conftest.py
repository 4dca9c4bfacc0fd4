"""The servers that the runs share are those of the integration tests."""

import os
import sys

import pytest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
os.environ.setdefault("BUILD_DIR", os.path.join(HERE, "..", "..", "build-crash"))


@pytest.fixture(scope="module", autouse=True)
def built():
    for name in ("stopgap-worker", "stopgap-webhook", "stopgapctl"):
        path = os.path.join(os.environ["BUILD_DIR"], name)
        if not os.access(path, os.X_OK):
            pytest.skip(f"{path} is not there: `make CRASH=1`")
