"""What the queue should hold, kept beside it in plain lists: a second, naive writing of
docs/queue.md's rules. Knows no times but due and not due, alive and expired."""

import hashlib


class Model:
    def __init__(self):
        self.jobs = {}       # id: fields; a job that was trimmed is not here
        self.inbox = []      # each list with its left end first, as in Redis
        self.pending = []
        self.solo = []
        self.proc = {}       # wid: ids
        self.delayed = {}    # id: due, in this order, or None
        self.failed = set()
        self.done = set()
        self.workers = {}    # wid: None while its lease runs, else when it expired
        self.same = {}
        self.idem = {}
        self.paused = False
        self.adopted = 0

    # ---- pieces ----

    def adopt(self, seed):
        for n in range(1, 201):
            if not self.inbox:
                return
            entry = self.inbox.pop()
            i = hashlib.sha1(f"{seed}{n}".encode()).hexdigest()[:26]
            clash = None
            if entry[26:27] == " " and entry[:26].isalnum() and entry[:26].islower():
                given, entry = entry[:26], entry[27:]
                if given in self.jobs and self.jobs[given]["raw"] == entry:
                    continue
                clash = given if given in self.jobs else None
                i = i if clash else given
            self.jobs[i] = {"raw": entry, "state": "queued", "attempt": 0, "fence": 0,
                            "clash": clash}
            self.pending.insert(0, i)
            self.adopted += 1

    def waits(self, i):
        return self.solo if self.jobs[i].get("losses", 0) >= 2 else self.pending

    def reap(self, wid):
        for i in self.proc.pop(wid, []):
            job = self.jobs[i]
            job["losses"] = job.get("losses", 0) + 1
            job["fence"] += 1
            del job["owner"]
            if job["losses"] >= 3:
                job.update(state="failed", err_class="poison")
                self.failed.add(i)
            else:
                job["state"] = "queued"
                self.waits(i).append(i)
        self.workers.pop(wid, None)

    def end(self, i, state):
        job = self.jobs[i]
        if "owner" in job:
            self.proc[job.pop("owner")].remove(i)
        job["state"] = state
        (self.done if state == "done" else self.failed).add(i)

    def restart(self, i, forget_losses=True):
        """Back to the end of the queue, by a person or an equal request."""
        job = self.jobs[i]
        self.failed.discard(i)
        self.done.discard(i)
        self.delayed.pop(i, None)
        job.update(state="queued", attempt=0)
        if forget_losses:
            job.pop("losses", None)
        self.pending.insert(0, i)

    # ---- moves ----

    def beat(self, wid, seed):
        known = 0 if wid not in self.workers else 1 if self.workers[wid] is None else 2
        self.workers[wid] = None
        self.adopt(seed)
        return known

    def take(self, wid, want, reap, idle, seed):
        """What is claimed, or the word that says why nothing is."""
        if self.workers.get(wid, 0) is not None:
            return "EXPIRED"
        expired = [w for w, at in self.workers.items() if at is not None]
        for other in sorted(expired, key=self.workers.get) if reap else []:
            self.reap(other)
        due = [i for i, at in self.delayed.items() if at is not None]
        for i in sorted(due, key=self.delayed.get):
            self.waits(i).insert(0, i)
            self.jobs[i]["state"] = "queued"
            del self.delayed[i]
        self.adopt(seed)
        if self.paused:
            return "PAUSED"
        source, want = (self.solo, min(want, 1)) if self.solo and idle else (self.pending, want)
        return [self.claim(source, wid) for _ in range(min(want, len(source)))]

    def claim(self, source, wid):
        i = source.pop()
        self.proc.setdefault(wid, []).insert(0, i)
        self.jobs[i].update(state="active", owner=wid)
        self.jobs[i]["attempt"] += 1
        self.jobs[i]["fence"] += 1
        return i

    def is_owner(self, i, wid, fence):
        job = self.jobs.get(i, {})
        return job.get("owner") == wid and job.get("fence") == fence

    def save(self, i, wid, fence, valid):
        if not self.is_owner(i, wid, fence):
            return 0
        self.jobs[i].update(lic=True, valid=valid)  # no step's result: losses stay
        return 1

    def finish(self, i, wid, fence, verb, err_step):
        job, call = self.jobs.get(i, {}), (wid, fence, verb)
        if not self.is_owner(i, wid, fence):
            return 2 if job.get("last") == call else 0
        job["last"] = call
        job.pop("losses", None)
        if verb in ("done", "fail"):
            self.end(i, "done" if verb == "done" else "failed")
            job["err_step"] = err_step
            return 1
        self.proc[job.pop("owner")].remove(i)
        if verb in ("retry", "snooze"):
            job["state"] = "delayed"
            self.delayed[i] = None
        else:
            job["state"] = "queued"
            self.pending.append(i)
        if verb != "retry":
            job["attempt"] -= 1
        return 1

    def claim_keys(self, i, wid, fence, digest, idem, same):
        if not self.is_owner(i, wid, fence):
            return ["LOST"]
        job = self.jobs[i]
        job["digest"] = digest
        kind = self.duplicate(i, digest, idem, same)
        if kind is None:
            self.same[same] = i
            job["same"] = same
            return ["OK"]
        word, first = kind
        if word == "RERUN":
            other = self.jobs[first]
            other["reruns"] = other.get("reruns", 0) + 1
            if other.get("err_step") == "validate":
                other.update(raw=job["raw"], digest=None, clash=None, claim=job["claim"])
                if idem:
                    self.idem[idem] = first
                    other["idem"] = idem
            self.restart(first)
        if word != "CLASH":
            self.end(i, "done")
            job.update(dup_of=first, last=(wid, fence, "dup"))
        return [word, first]

    def duplicate(self, i, digest, idem, same):
        job = self.jobs[i]
        if job["clash"]:
            equal = self.jobs.get(job["clash"], {}).get("digest") == digest
            return ("REPLAY" if equal else "CLASH"), job["clash"]
        first = self.idem.get(idem)
        if idem and first != i and self.jobs.get(first, {}).get("digest"):
            equal = self.jobs[first]["digest"] == digest
            return ("REPLAY" if equal else "CLASH"), first
        if idem:
            self.idem[idem] = i
            job["idem"] = idem
        first = self.same.get(same)
        if not first or first == i:
            return None
        other = self.jobs[first]
        if other["state"] in ("queued", "active", "delayed"):
            return "DUP", first
        if other["state"] == "failed":
            return ("SPENT" if other.get("reruns", 0) >= 3 else "RERUN"), first
        return ("DUP", first) if other.get("valid") else None

    def requeue(self, i, redo):
        job = self.jobs.get(i)
        if not job:
            return ["NONE"]
        if "dup_of" in job:
            return ["DUPLICATE", job["dup_of"]]
        if job["state"] not in ("failed", "delayed") + (("done",) if redo else ()):
            return ["STATE", job["state"]]
        if redo == "sign":
            job.update(lic=False, valid=False)
        self.restart(i)
        job["err_step"] = None
        return ["OK"]

    def resend(self, i):
        for _ in range(5):
            i = self.jobs.get(i, {}).get("dup_of", i)
        job = self.jobs.get(i)
        if not job:
            return ["NONE"]
        if job["state"] != "done" or not job.get("lic"):
            return ["STATE", job["state"]]
        if not job["valid"]:
            return ["EXPIRED"]
        if job.get("resends", 0) >= 3:
            return ["SPENT"]
        job["resends"] = job.get("resends", 0) + 1
        self.restart(i, forget_losses=False)
        return ["OK", i]

    def discard(self, i):
        job = self.jobs.get(i)
        if not job:
            return ["NONE"]
        if job["state"] in ("active", "done"):
            return ["STATE", job["state"]]
        for place in (self.pending, self.solo):
            if i in place:
                place.remove(i)
        self.delayed.pop(i, None)
        self.failed.discard(i)
        if self.same.get(job.get("same")) == i:
            del self.same[job["same"]]
        self.end(i, "done")
        return ["OK"]

    def trim(self, i):
        job = self.jobs.pop(i)
        self.done.discard(i)
        self.failed.discard(i)
        for keys, name in ((self.same, "same"), (self.idem, "idem")):
            if keys.get(job.get(name)) == i:
                del keys[job[name]]
