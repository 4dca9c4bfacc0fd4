"""The servers that the runs share are those of the integration tests."""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "integration"))
os.environ.setdefault("BUILD_DIR", os.path.join(HERE, "..", "..", "build-crash"))
