"""The programs die at every crash point (common/crash.h) in turn: at the first job and at
the tenth; with CRASHPOINTS=full at every passing that a job has there, in every scenario,
and at every ordered pair. Nothing is lost and nothing done twice, by the outside servers'
own counts; a second mail only where one was on its way."""

import concurrent.futures
import contextlib
import os
import shutil
import tempfile

import points
import pytest
from case import Case, Frozen, Stand
from scenarios import FROZEN, PAIRS, SCENARIOS
from testenv import process
from testenv.ctl import Ctl
from testenv.gitlab import GitLab
from testenv.redis import Redis
from testenv.smtp import Smtp

FULL = os.environ.get("CRASHPOINTS") == "full"
SIDE_BY_SIDE = 6  # runs; they wait more than they work
PER_STAND = 150  # runs, before the servers hold too much

# Points that a worker comes to only because another one has died before it.
SECOND_LIFE = {"reap_worker": ("redis.sent.save", 1), "find": ("gitlab.sent.create", 1)}
# Here a death puts no mail in doubt: the end of its content has not left.
NOT_IN_DOUBT = {"smtp.before", "smtp.sent", "smtp.ready", "smtp.half", "email.intent"}


@pytest.fixture(scope="module", autouse=True)
def built():
    if not os.access(process.program("stopgap-worker"), os.X_OK):
        pytest.skip("`make CRASH=1` has not been run")


@contextlib.contextmanager
def stand():
    folder = tempfile.mkdtemp(prefix="sg-")
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, folder, ignore_errors=True)
        key = Ctl({}).keygen(os.path.join(folder, "license.key"))
        redis = Redis(folder, fsync="everysec")
        stack.callback(redis.stop)
        smtp = Smtp()
        stack.callback(smtp.stop)
        gitlab = GitLab()
        stack.callback(gitlab.stop)
        yield Stand(folder, redis, smtp, gitlab, key)
        assert smtp.faults == []


def run_all(runs):
    """Runs (scenario, deaths) of them side by side; words about all that is wrong."""
    wrong = []

    def one(servers, scenario, deaths):
        # How often a worker looks for work differs from run to run.
        late = FULL and deaths and deaths[0][1] > 10
        case = Case(servers, scenario, deaths, must_die=not late)
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


@pytest.fixture(scope="module")
def passed():
    """{scenario: {point: how often it is passed when nothing dies}}"""
    out = {}
    with stand() as servers:
        for scenario in SCENARIOS:
            case = Case(servers, scenario)
            assert case.run() == []
            out[scenario.name] = case.passed()
    return out


def chosen(count):
    """Which passings of a point: those of the first job and of the tenth."""
    each = count // 10 if count % 10 == 0 else 1
    if not FULL:
        return sorted({1, count - each + 1 if count % 10 == 0 else min(10, count)})
    return sorted({*range(1, each + 1), *range(count - each + 1, count + 1)})


def test_each_name_stands_once_in_the_sources():
    assert points.twice() == []


def test_programs_as_they_are_shipped_have_none():
    folder = os.path.join(points.TREE, "build")
    programs = [os.path.join(folder, n) for n in ("stopgap-worker", "stopgapctl")]
    if not all(map(os.path.exists, programs)):
        pytest.skip("build/ is not there")
    for path in programs:
        with open(path, "rb") as f:
            data = f.read()
        assert b"CRASH_" not in data and b"redis.before" not in data


def test_no_point_is_left_out(passed):
    """A new one needs a scenario that comes to it."""
    reached = {name for counts in passed.values() for name in counts}
    missing = {n for n in points.names()
               if n not in reached and n.rsplit(".", 1)[1] not in SECOND_LIFE}
    assert not missing
    assert reached <= set(points.names())


def single_deaths(passed, scenario):
    """In the short form each point dies in the first scenario that comes to it; those of
    GitLab's client with failure issues once more."""
    seen = set()
    for other in SCENARIOS:
        if other is scenario:
            break
        seen |= set() if FULL else set(passed[other.name])
    for point, count in sorted(passed[scenario.name].items()):
        by_people = point.rsplit(".", 1)[1] in scenario.by_people
        again = scenario.name == "reports" and point.startswith("gitlab.")
        if point not in seen or by_people or again:
            yield from ((scenario, [(point, n)]) for n in chosen(count))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_dies_there(passed, scenario):
    judge(list(single_deaths(passed, scenario)))


def test_dies_in_its_second_life():
    runs = [(SCENARIOS[0], [SECOND_LIFE[what], (name, 1)]) for name in points.names()
            for what in [name.rsplit(".", 1)[1]] if what in SECOND_LIFE]
    assert runs
    judge(runs)


@pytest.mark.parametrize("scenario", FROZEN, ids=lambda s: s.name)
def test_frozen_there(scenario):
    """Past its lease: what a zombie still does is no second [Success], and no second mail
    unless the content was on its way."""
    with stand() as servers:
        first = Case(servers, scenario)
        assert first.run() == []
        names = sorted(n for n in first.passed()
                       if scenario is FROZEN[0] or n.startswith(("gitlab.", "redis")))
    wrong, strays = [], 0

    def one(name):
        case = Frozen(servers, scenario, (name, 1))
        out = case.run()
        mails = servers.mails(case.domain)
        if name in NOT_IN_DOUBT - {"smtp.half"} and len({m.to for m in mails}) != len(mails):
            out.append(f"{case}: a second mail")
        return out, case.strays
    with stand() as servers, concurrent.futures.ThreadPoolExecutor(2 * SIDE_BY_SIDE) as pool:
        for out, found in pool.map(one, names):
            wrong += out
            strays += found
    assert not wrong, "\n".join(wrong)
    assert strays  # a creation that came too late has been among them


@pytest.mark.skipif(not FULL, reason="CRASHPOINTS=full, `make crashpoints`")
def test_dies_twice():
    with stand() as servers:
        first = Case(servers, PAIRS)
        assert first.run() == []
        names = sorted(first.passed())
    second = sorted({*names, *(n for n in points.names() if n.rsplit(".", 1)[1] in SECOND_LIFE)})
    judge([(PAIRS, [(a, 1), (b, 1)]) for a in names for b in second])
