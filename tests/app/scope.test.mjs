// The scope rule at each edge: the days are those of tests/unit/test_request.c's rule.
import assert from 'node:assert/strict';
import test from 'node:test';
import { checkScope, dayOf, formatDay, parseDay } from '../../zendesk-app/assets/scope.js';

const TODAY = parseDay('2026-03-20');
const ago = (days) => formatDay(TODAY - days);

test('the window, with a day of slack at each end', () => {
  const verdicts = Object.fromEntries(
    [0, 12, 13, 14, 17, 18, 19, 400].map((n) => [n, checkScope('premium', ago(n), TODAY)]));
  assert.deepEqual(Object.entries(verdicts).map(([n, s]) => `${n} ${s.verdict} ${s.reason}`), [
    '0 out early', '12 out early', '13 in in', '14 in in', '17 in in', '18 in in', '19 out over',
    '400 out over']);
  assert.equal(verdicts[12].values.end, '2026-03-22');
});

test('plans', () => {
  for (const [plan, reason] of [['free', 'plan_free'], [' None ', 'plan_free'], ['PROSPECT', 'plan_prospect']]) {
    assert.deepEqual([checkScope(plan, ago(15), TODAY).verdict, checkScope(plan, ago(15), TODAY).reason],
      ['out', reason]);
  }
  assert.equal(checkScope('trial', ago(400), TODAY).verdict, 'in');
  assert.equal(checkScope('constructor', ago(15), TODAY).verdict, 'in');
  assert.equal(checkScope('', ago(15), TODAY).verdict, 'unknown');
  assert.equal(checkScope('premium', '', TODAY).verdict, 'unknown');
  assert.equal(checkScope('', ago(30), TODAY).verdict, 'out');
});

test('days', () => {
  assert.equal(parseDay('1970-01-02'), 1);
  assert.equal(parseDay('2024-02-29'), 19782);
  for (const bad of ['', '2026-02-29', '2026-13-01', '2026-1-1', '20260101', '2026-01-01T00:00:00Z', 'x']) {
    assert.equal(parseDay(bad), null, bad);
  }
  assert.equal(dayOf(86400000 * 3 + 5), 3);
});
