"""A job that kills its worker: it is convicted by its third death, which it dies alone;
whoever was in flight with it the first two times ends well. The programs have no hook
for it: the mail server sees that job's recipient come, and the test kills the worker."""

import pytest

GUILTY = "guilty@example.com"
NEIGHBOURS = 31
P = "stopgap:{licenses}:"


def recipients(smtp):
    """Whose RCPT has come, oldest first."""
    return [c[len("RCPT TO:<"):].split(">")[0] for c in list(smtp.commands)
            if c.startswith("RCPT")]


@pytest.fixture
def env(env):
    """As many conversations as jobs, so that all of them are in flight at once."""
    return {**env, "STOPGAP_LEASE": "10s", "STOPGAP_CONCURRENCY": str(NEIGHBOURS + 1),
            "STOPGAP_SMTP_CONNECTIONS": str(NEIGHBOURS + 1), "STOPGAP_MAX_PER_AGENT": "0",
            "STOPGAP_LATE_AFTER": "10m"}


def push_all(queue):
    for n in range(NEIGHBOURS + 1):
        queue.push(ticket_id=n + 1, email=GUILTY if n == 5 else f"c{n}@example.com")


def test_one_is_poison_and_its_neighbours_are_done(queue, start_worker, smtp, gitlab, until):
    """All 32 are at the mail server when the first worker dies, and when the second does."""
    smtp.on("", delay_rcpt=600)
    push_all(queue)
    for death in (1, 2):
        worker = start_worker()
        until(lambda n=death: len(recipients(smtp)) == n * (NEIGHBOURS + 1), "all at RCPT")
        assert len(set(recipients(smtp)[-NEIGHBOURS - 1:])) == NEIGHBOURS + 1
        worker.kill()
    smtp.forget("")
    smtp.on(GUILTY, delay_rcpt=600)

    worker = start_worker()
    until(lambda: recipients(smtp).count(GUILTY) == 3, "the guilty one, a third time")
    (held,) = queue.client.lrange(P + "proc:" + queue.client.zrange(P + "workers", 0, -1)[0],
                                  0, -1)
    assert GUILTY in queue.job(held)["raw"]  # nobody is beside it
    worker.kill()
    start_worker()

    jobs = queue.settled(NEIGHBOURS + 1, deadline=40)
    assert queue.jobs("failed").keys() == {held}
    assert jobs[held]["err_class"] == "poison" and jobs[held]["losses"] == "3"
    assert len(queue.jobs("done")) == NEIGHBOURS
    assert recipients(smtp).count(GUILTY) == 3
    until(lambda: gitlab.issues("[Failed]"), "its failure issue")
    (issue,) = gitlab.issues("[Failed]")
    assert issue["state"] == "opened" and held in issue["description"]
    assert "poison" in issue["description"]
    success = gitlab.issues("[Success]")
    assert len(success) == NEIGHBOURS and {i["state"] for i in success} == {"closed"}
    assert sorted(m.to for m in smtp.mails_to()) == \
        sorted(f"c{n}@example.com" for n in range(NEIGHBOURS + 1) if n != 5)


def test_beside_another_worker(queue, start_worker, smtp, gitlab, until):
    """Two workers: whichever of them has the guilty job dies. The other one's jobs, and
    what waits, have nothing to do with it; three deaths are enough."""
    smtp.on(GUILTY, delay_rcpt=600)
    smtp.on("", delay_dot=0.05)
    workers = [start_worker(STOPGAP_CONCURRENCY="8") for _ in range(2)]
    push_all(queue)
    for death in (1, 2, 3):
        until(lambda n=death: recipients(smtp).count(GUILTY) == n, "the guilty one begun")
        (job_id,) = [i for i, r in queue.jobs("active").items() if GUILTY in r["raw"]]
        pid = int(queue.job(job_id)["owner"].split(":")[2])
        at = next(i for i, w in enumerate(workers) if w.pid == pid)
        workers[at].kill()
        workers[at] = start_worker(STOPGAP_CONCURRENCY="8")
    jobs = queue.settled(NEIGHBOURS + 1, deadline=40)
    assert queue.jobs("failed").keys() == {job_id} and jobs[job_id]["err_class"] == "poison"
    assert len(gitlab.issues("[Success]")) == NEIGHBOURS
