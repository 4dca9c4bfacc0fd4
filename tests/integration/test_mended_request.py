"""A request that was refused, and the mended one after it: the first job runs again with
the new fields, and the license goes out once."""


def test_mended_request_gets_its_license(queue, worker, smtp, until):
    queue.push(plan="free", license_expired_on="2020-01-01", idempotency_key="k1")
    queue.settled(1)
    first, record = queue.only("failed")
    assert record["err_class"] == "out_of_scope"
    queue.push(idempotency_key="k2")
    until(lambda: len(queue.jobs("done")) == 2, "both are done")
    assert "dup_of" not in queue.job(first)
    assert [r["dup_of"] for r in queue.jobs().values() if "dup_of" in r] == [first]
    assert len(smtp.mails_to()) == 1
