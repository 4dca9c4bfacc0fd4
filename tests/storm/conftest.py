"""The tests here are storm.py's, with a few seeds and sizes that suit every day."""

import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
