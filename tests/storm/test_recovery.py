"""That recovery.py measures something. How long it takes is `make recovery`'s to say."""

import pytest
import recovery


@pytest.mark.parametrize("kind", recovery.KINDS)
def test_jobs_run_again(kind):
    if recovery.KINDS[kind] and not recovery.another_host():
        pytest.skip("unshare -u is not allowed here")
    (took,) = recovery.measure(1, lease="1s", jobs=4, kinds=[kind])[kind]
    print(recovery.in_words(kind, [took], "1s"))
    assert took > 0
