"""A failover each way; `make failover` has the long form."""

import failover
import pytest
from test_storm import built  # noqa: F401  # pylint: disable=unused-import


@pytest.mark.parametrize("fault,wait", [("kill", 0), ("freeze", 1)])
def test_failover(fault, wait):
    wrong, figures = failover.run(wait, fault)
    print(failover.judge.in_words(figures))
    assert wrong == []
    assert figures["lost"] <= 1  # what had not left for the replicas when it was killed
