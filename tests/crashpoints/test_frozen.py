"""A worker is frozen at every crash point in turn, past its lease; another one does its
jobs, then it goes on in the middle of its own. And workers die at the points that they
only come to because another one has died."""

import concurrent.futures

import points
import pytest
from case import Case, Frozen
from runs import NOT_IN_DOUBT, SECOND_LIFE, SIDE_BY_SIDE, judge, stand
from scenarios import FROZEN, SCENARIOS


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
