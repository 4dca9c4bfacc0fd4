"""Jobs past their retention go, however many there are."""

from testenv.queue import PREFIX

MANY = 170  # more than one run of the script takes


def test_all_that_is_old_goes_at_once(queue, start_worker, until):
    """Not a batch a minute: a busy queue would grow for ever."""
    for state in ("done", "failed"):
        with queue.client.pipeline() as p:
            for n in range(MANY):
                p.hset(f"{PREFIX}job:{state}{n}", mapping={
                    "v": 1, "state": state, "raw": "x", "accepted_ms": 1, "ended_ms": n + 1})
                p.zadd(PREFIX + state, {f"{state}{n}": n + 1})
            p.execute()
    queue.push()
    start_worker(STOPGAP_LEASE="60s")  # one beat
    until(lambda: len(queue.jobs()) == 1, lambda: f"{len(queue.jobs())} jobs are left")
    queue.settled(1)
