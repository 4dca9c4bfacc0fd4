"""Three short storms; `make storm` has the long ones."""

import os

import pytest
import storm
from testenv import process


@pytest.fixture(autouse=True)
def built():
    for name in ("stopgap-worker", "stopgapctl"):
        if not os.access(process.program(name), os.X_OK):
            pytest.skip(f"{process.program(name)} is not built")


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_storm(seed):
    wrong, figures = storm.run(seed, jobs=500, kills=7, others=9)
    print(storm.judge.in_words(figures))
    assert wrong == []


def test_the_weather_is_the_seeds():
    """So that a storm can be repeated."""
    first, again, other = (storm.weather.forecast(storm.random.Random(n), 20, 20)
                           for n in (7, 7, 8))
    assert first == again != other
    faults = [fault for fault, _, _ in first]
    assert sum(fault in storm.weather.KILLS for fault in faults) == 20
