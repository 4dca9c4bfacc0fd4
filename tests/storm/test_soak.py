"""A soak of a few seconds: descriptors and key space come to rest as they were. Slopes are
for `make soak`: so short a run has none."""

import pytest
import soak
from testenv import process


@pytest.fixture(autouse=True)
def built():
    for name in ("stopgap-worker", "stopgap-webhook", "stopgapctl"):
        if not soak.os.access(process.program(name), soak.os.X_OK):
            pytest.skip(f"{process.program(name)} is not built")


def test_everything_comes_to_rest():
    done, wrong = soak.soaked(soak.options_of(
        "--minutes 0.08 --rate 30 --retention 3s --give-up 2s --lease 1s --every 1 "
        "--reload 1 --cut 1.7".split()))
    print("\n".join(soak.table(done)[0]))
    assert wrong == []
    assert done.samples[-1].jobs > 0


def test_slope():
    assert soak.slope([(x, 3 * x + 7) for x in range(10)]) == pytest.approx(3)
    assert soak.slope([(x, (-1) ** x) for x in range(1000)]) == pytest.approx(0, abs=1e-4)
    assert soak.slope([]) == soak.slope([(1, 1)]) == 0


def test_steep_slopes_are_faults():
    flat = {name: 100 for name in soak.MEASURES}

    class Made:
        slopes = soak.Soak.slopes

        def __init__(self, **growth):
            self.samples = [soak.Sample(at, at * 100, {
                name: value + growth.get(name, 0) * at for name, value in flat.items()})
                for at in range(0, 600, 5)]
    assert soak.table(Made())[1] == []
    for name, growth in (("worker_private", 2000), ("redis_keys", 3), ("receiver_fds", 0.1)):
        (words,) = soak.table(Made(**{name: growth}))[1]
        assert soak.MEASURES[name][0] in words
