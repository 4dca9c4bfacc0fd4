"""What may be in Redis when a queue is at rest: each key has an owner or a time to live,
each job is in exactly the place that its state says, and the sums agree. Docs: the tables
of keys and states in docs/queue.md."""

PLACES = {"pending": "queued", "solo": "queued", "delayed": "delayed",
          "failed": "failed", "done": "done"}
STANDING = {"inbox", "pending", "solo", "delayed", "failed", "done", "follow", "workers",
            "stat", "cfg", "paused"}
MORTAL = ("winfo:", "same:", "idem:", "ticket:", "cap:", "view:", "shared:", "lane:", "forgotten:")
MORTAL_WHOLE = {"invalid", "shared", "audit"}


def _dump(client, prefix, chunk=2000):
    """{name: (ttl in ms, what is in it)} of jobs' and lists' keys; others have None."""
    keys = list(client.scan_iter(prefix + "*", count=chunk))
    for at in range(0, len(keys), chunk):
        part = keys[at:at + chunk]
        with client.pipeline(transaction=False) as p:
            for key in part:
                p.pttl(key)
            yield from zip((key[len(prefix):] for key in part), p.execute())


def _places(client, prefix, names):
    """{id: [state, or "active" with its worker]}"""
    found = {}
    for name in names:
        key = prefix + name
        kind = client.type(key)
        ids = client.zrange(key, 0, -1) if kind == "zset" else client.lrange(key, 0, -1)
        for job_id in ids:
            found.setdefault(job_id, []).append(PLACES.get(name, name))
    return found


def _states(client, prefix, ids, chunk=2000):
    for at in range(0, len(ids), chunk):
        with client.pipeline(transaction=False) as p:
            for job_id in ids[at:at + chunk]:
                p.hmget(prefix + "job:" + job_id, "state", "owner")
            yield from zip(ids[at:at + chunk], p.execute())


def complaints(client, prefix="stopgap:{licenses}:", at_rest=True):
    """Words about what is not as it should be. at_rest: nothing waits, nothing runs."""
    wrong = []
    ttls = dict(_dump(client, prefix))
    jobs = [name[4:] for name in ttls if name.startswith("job:")]
    hands = [name for name in ttls if name.startswith("proc:")]
    places = _places(client, prefix, [*(n for n in PLACES if n in ttls), *hands])
    for name, ttl in ttls.items():
        if name.startswith(MORTAL) or name in MORTAL_WHOLE:
            if ttl == -1:
                wrong.append(f"{name} has no time to live")
        elif name.startswith("log:"):
            if "job:" + name[4:] not in ttls:
                wrong.append(f"{name} without its job")
        elif not (name in STANDING or name.startswith(("job:", "proc:", "tell:"))):
            wrong.append(f"{name} is nothing that docs/queue.md knows")
    for job_id, (state, owner) in _states(client, prefix, jobs):
        expected = "proc:" + (owner or "") if state == "active" else state
        if places.get(job_id) != [expected]:
            wrong.append(f"{job_id} is {state}, and in {places.get(job_id)}")
        if owner and state != "active":
            wrong.append(f"{job_id} is {state}, and has the owner {owner}")
    wrong += [f"{i} is in {where}, and has no record" for i, where in places.items()
              if "job:" + i not in ttls]
    for name in (n for n in ttls if n.startswith("tell:")):
        wrong += [f"{name} has {i}, which has no record" for i in client.zrange(prefix + name, 0, -1)
                  if "job:" + i not in ttls]
    if at_rest:
        wrong += [f"{name} is there" for name in
                  [*hands, "inbox", "pending", "solo", "delayed", "follow"] if name in ttls]
    return wrong
