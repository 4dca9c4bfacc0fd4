"""The programs die at every crash point (common/crash.h) in turn: at the first job and at
the tenth; with CRASHPOINTS=full at every passing that a job has there, in every scenario,
and at every ordered pair. Nothing is lost and nothing done twice, by the outside servers'
own counts; a second mail only where one was on its way."""

import itertools
import os

import points
import pytest
from receiving import Receiving
from runs import FULL, SECOND_LIFE, judge, stand
from scenarios import PAIRS, SCENARIOS


SECOND_LIVES = [n for n in points.names() if n.rsplit(".", 1)[1] in SECOND_LIFE]


@pytest.fixture(scope="module")
def passed():
    """{scenario: {point: how often it is passed when nothing dies}}"""
    out = {}
    with stand() as servers:
        for scenario in SCENARIOS:
            case = scenario.kind(servers, scenario)
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
    programs = [os.path.join(folder, n) for n in
                ("stopgap-worker", "stopgap-webhook", "stopgapctl")]
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
    """In the short form each point dies in the first scenario that comes to it, and where
    the scenario says so."""
    seen = set()
    for other in SCENARIOS:
        if other is scenario:
            break
        seen |= set() if FULL else set(passed[other.name])
    for point, count in sorted(passed[scenario.name].items()):
        by_people = point.rsplit(".", 1)[1] in scenario.by_people
        again = scenario.again and point.startswith(scenario.again)
        if point not in seen or by_people or again:
            yield from ((scenario, [(point, n)]) for n in chosen(count))


def pairs(scenario):
    """(first, second) of each that no earlier scenario has."""
    earlier = set()
    for other in PAIRS:
        with stand() as servers:
            first = other.kind(servers, other)
            assert first.run() == []
            names = sorted(first.passed())
        lives = names if other.kind is Receiving else sorted({*names, *SECOND_LIVES})
        found = [pair for pair in itertools.product(names, lives) if pair not in earlier]
        if other is scenario:
            return found
        earlier |= {*found}
    raise AssertionError(scenario)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_dies_there(passed, scenario):
    judge(list(single_deaths(passed, scenario)))


@pytest.mark.skipif(not FULL, reason="CRASHPOINTS=full, `make crashpoints`")
@pytest.mark.parametrize("scenario", PAIRS, ids=lambda s: s.name)
def test_dies_twice(scenario):
    judge([(scenario, [(a, 1), (b, 1)]) for a, b in pairs(scenario)])
