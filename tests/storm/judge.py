"""What must be true after a storm, asked of the outside's books, of Redis and of the
workers' logs."""

import json
from collections import Counter

import outside
from testenv import keyspace
from testenv.ctl import Ctl

# A job may end so when its workers die again and again, and says so in its issue.
MAY_FAIL = {"poison", "ambiguous"}


def records(client, prefix, chunk=500):
    keys = sorted(client.scan_iter(prefix + "job:*", count=2000))
    out = {}
    for at in range(0, len(keys), chunk):
        with client.pipeline(transaction=False) as p:
            for key in keys[at:at + chunk]:
                p.hgetall(key)
            for key, record in zip(keys[at:at + chunk], p.execute()):
                out[key.rsplit(":", 1)[1]] = record
    return out


def in_words(figures):
    return ", ".join(f"{name} {value:g}" for name, value in figures.items())


class Books:
    """The outside's, by job."""

    def __init__(self, mails, issues):
        self.mails, self.issues = {}, {}
        for job, *rest in mails:
            self.mails.setdefault(job, []).append(rest)
        for issue in issues:
            job = issue["description"].split("Job: ")[1].split()[0].strip("`\\")
            self.issues.setdefault(job, []).append(issue)

    def count(self, kind):
        return sum(i["title"].startswith(kind) for some in self.issues.values() for i in some)


def judge(storm):
    """(words about what is wrong, figures)"""
    prefix = "stopgap:{licenses}:"
    jobs = records(storm.client, prefix)
    books = Books(*storm.outside.books())
    workers = [w for s in storm.slots for w in s.all]
    doubts = Counter(line["job"] for w in workers for line in w.lines(event="ambiguous"))
    wrong = [*keyspace.complaints(storm.client, prefix)]
    wrong += [f"fsck found {f}" for f in
              Ctl({"STOPGAP_REDIS_URL": storm.redis.url}).json("fsck", status=None)["findings"]]
    wrong += _submissions(storm, jobs)
    for job_id in {*books.mails, *books.issues} - set(jobs):
        wrong.append(f"{job_id} is known outside only")
    for job_id, record in jobs.items():
        wrong += [f"{job_id}: {words}\n    {record}\n    {storm.client.lrange(prefix + 'log:' + job_id, 0, -1)}"
                  for words in _job(job_id, record, books, doubts[job_id])]
    stat = storm.client.hgetall(prefix + "stat")
    if int(stat.get("adopted", 0)) != len(jobs):
        wrong.append(f"{stat['adopted']} were adopted, {len(jobs)} are there")
    for worker in workers:
        wrong += _worker(worker)
    states = Counter(r["state"] for r in jobs.values())
    extra = sum(len(m) - 1 for m in books.mails.values())
    return wrong, {
        "jobs": storm.jobs, "kills": storm.kills, "faults": len(storm.forecast),
        "done": states["done"],
        **{kind: sum(r["state"] == "failed" and r.get("err_class") == kind for r in jobs.values())
           for kind in sorted(MAY_FAIL)},
        "duplicates": sum("dup_of" in r for r in jobs.values()),
        "second_mails": extra, "in_doubt": sum(doubts.values()),
        "success_issues": books.count("[Success]"), "strays": books.count("[Duplicate]"),
        "left_pending": books.count("[Pending]")}


def _submissions(storm, jobs):
    """Each accepted ticket has one job, done or failed; the others point at it."""
    mine = {}
    for job_id, record in jobs.items():
        mine.setdefault(json.loads(record["raw"])["ticket_id"], []).append((job_id, record))
    lost = storm.accepted - set(mine)
    if lost:
        yield f"{len(lost)} accepted requests are lost: {sorted(lost)[:20]}"
    for ticket, found in mine.items():
        first = [i for i, r in found if "dup_of" not in r]
        if len(first) != 1:
            yield f"ticket {ticket} has {len(first)} licenses: {found}"
        for job_id, record in found:
            if record.get("dup_of", first[0] if first else "") not in first:
                yield f"{job_id} points at {record['dup_of']}, not at {first}"


def _job(job_id, record, books, doubts):
    mails, issues = books.mails.get(job_id, []), books.issues.get(job_id, [])
    titles = [(i["title"].split()[0], i["state"]) for i in issues]
    success = [i for i in issues if i["title"].startswith("[Success]")]
    if len(success) > 1:
        yield f"{len(success)} [Success] issues"
    if sum(kind == "[Failed]" for kind, _ in titles) > 1:
        yield f"several failure issues: {titles}"
    if len(mails) - 1 > doubts:
        yield f"{len(mails)} mails, {doubts} times in doubt"
    if len({digest for digest, _, _ in mails}) > 1:
        yield "its mails differ"
    if "dup_of" in record:
        if mails or issues:
            yield f"a pointer with {len(mails)} mails, {titles}"
    elif record["state"] == "failed":
        if record["err_class"] not in MAY_FAIL:
            yield f"failed as {record['err_class']}: {record.get('err_text')}"
        if ("[Failed]", "opened") not in titles:
            yield f"failed, with {titles}"
    elif titles.count(("[Success]", "closed")) != 1 or not mails:
        yield f"done, with {len(mails)} mails, {titles}"
    elif ("[Failed]", "opened") in titles:
        yield "done, and its failure issue is open"
    yield from _licenses(record, mails, success)


def _licenses(record, mails, success):
    own = outside.license_in(record.get("lic", "").encode())
    if any(text != own for _, text, _ in mails):
        yield "a mail with another license"
    if any(outside.license_in(i["description"].encode()) != own for i in success):
        yield "an issue with another license"


def _worker(worker):
    try:
        worker.allow(".")  # what is an error then is one of the weather
        worker.check()
    except AssertionError as e:
        yield str(e)[-3000:]
    for line in worker.lines(level="error"):
        if line.get("class") == "bug":
            yield f"a bug: {line}"
