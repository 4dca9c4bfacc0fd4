"""Many runs side by side on the same servers, and their settings."""

import concurrent.futures
import contextlib
import os
import shutil
import tempfile

from case import Stand
from testenv.ctl import Ctl
from testenv.gitlab import GitLab
from testenv.redis import Redis
from testenv.slack import Slack
from testenv.smtp import Smtp

FULL = os.environ.get("CRASHPOINTS") == "full"
SIDE_BY_SIDE = 6  # runs; they wait more than they work
PER_STAND = 150  # runs, before the servers hold too much

# Points that a worker comes to only because another one has died before it.
SECOND_LIFE = {"reap_worker": ("redis.sent.save", 1), "find": ("gitlab.sent.create", 1)}
# Here a death puts no mail in doubt: the end of its content has not left.
NOT_IN_DOUBT = {"smtp.before", "smtp.sent", "smtp.ready", "smtp.half", "email.intent"}

# How often a worker looks for work differs from run to run.
VARY = {"beat", "trim", "take", "follow_take", "follow_done", "disown", "lane",
        "tell_take", "tell_done", "show", "fsck"}


def comes_to(point, n):
    """Every run passes the point so often."""
    return n == 1 or point.rsplit(".", 1)[1] not in VARY


@contextlib.contextmanager
def stand():
    folder = tempfile.mkdtemp(prefix="sg-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        key = Ctl({}).keygen(os.path.join(folder, "license.key"))
        seal_key = os.path.join(folder, "seal.key")
        Ctl({}).run("keygen", seal_key, "--type", "seal")
        redis = Redis(folder, fsync="everysec")
        stack.callback(redis.stop)
        smtp = Smtp()
        stack.callback(smtp.stop)
        gitlab = GitLab()
        stack.callback(gitlab.stop)
        slack = Slack()
        stack.callback(slack.stop)
        yield Stand(folder, redis, smtp, gitlab, slack, key, seal_key)
        assert smtp.faults == []


def run_all(runs):
    """Runs (scenario, deaths) of them side by side; words about all that is wrong."""
    wrong = []

    def one(servers, scenario, deaths):
        case = scenario.kind(servers, scenario, deaths,
                             must_die=not deaths or comes_to(*deaths[0]))
        out = case.run()
        case.forget()
        if deaths and deaths[0][0] in NOT_IN_DOUBT and len(case.died) == 1:
            mails = servers.mails(case.domain)
            if len({(m.to, m.data) for m in mails}) != len(mails):
                out.append(f"{case}: a second mail")
        return out

    for at in range(0, len(runs), PER_STAND):
        with stand() as servers, concurrent.futures.ThreadPoolExecutor(SIDE_BY_SIDE) as pool:
            for out in pool.map(lambda run: one(servers, *run), runs[at:at + PER_STAND]):
                wrong += out
    return wrong


def judge(runs):
    wrong = run_all(runs)
    assert not wrong, "\n".join(wrong)
