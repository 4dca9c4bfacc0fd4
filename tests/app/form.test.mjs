// What the form takes, and that texts keep foreign words apart.
import assert from 'node:assert/strict';
import test from 'node:test';
import { faultsOf, usersFault } from '../../zendesk-app/assets/form.js';
import { Texts, shown } from '../../zendesk-app/assets/texts.js';
import { webUrl } from '../../zendesk-app/assets/status.js';

const GOOD = { email: 'nina@customer.example', users: '25', plan: 'premium', expiredOn: '2026-03-05',
  note: '', reason: '' };

test('good forms', () => {
  assert.deepEqual(faultsOf(GOOD, null), {});
  assert.deepEqual(faultsOf({ ...GOOD, plan: '', expiredOn: '' }, null), {});
});

test('each fault by its field', () => {
  const cases = [
    [{ email: '' }, 'email', 'email_none'], [{ email: 'a@b@c' }, 'email', 'email_form'],
    [{ email: 'a@b, c@d' }, 'email', 'email_form'], [{ users: ' ' }, 'users', 'users_none'],
    [{ plan: '<b>' }, 'plan', 'plan_form'], [{ expiredOn: '2026-02-30' }, 'expiredOn', 'date_form'],
    [{ note: 'x'.repeat(501) }, 'note', 'note_long']];
  for (const [change, field, fault] of cases) {
    assert.deepEqual(faultsOf({ ...GOOD, ...change }, null), { [field]: fault });
  }
});

test('user counts', () => {
  for (const good of ['1', ' 25 ', '1000000', '007']) assert.equal(usersFault(good), null, good);
  for (const bad of ['0', '-1', '1.5', '1e3', '1,000', '1000001', '99999999999', '٣', 'ten']) {
    assert.equal(usersFault(bad), 'users_form', bad);
  }
});

test('a correction must change something, and say why', () => {
  const earlier = { email: 'Nina@customer.example', users: '25' };
  assert.deepEqual(faultsOf(GOOD, earlier), { reason: 'reason_none', users: 'same' });
  assert.deepEqual(faultsOf({ ...GOOD, users: '30', reason: 'miscounted' }, earlier), {});
  assert.deepEqual(faultsOf({ ...GOOD, email: 'n@c.example', reason: 'typo' }, earlier), {});
});

test('texts', () => {
  const texts = new Texts({ a: { b: 'To {who}, {n} users' } });
  assert.equal(texts.say('a.b', { who: '{n}<i>', n: 5 }), 'To {n}<i>, 5 users');
  assert.deepEqual(texts.parts('a.b', { who: 'x', n: 5 })[1], { value: 'x' });
  assert.equal(texts.say('a.constructor'), 'a.constructor');
  assert.equal(shown('a\u202eb\u0000\u200bc\nd'), 'a\ufffdb\ufffd\ufffdc\nd');
});

test('only web links are links', () => {
  for (const bad of ['javascript:alert(1)', 'data:text/html,x', '//x', '', null, 'https://u@x/', {}]) {
    assert.equal(webUrl(bad), null);
  }
  assert.equal(webUrl('https://g.example/1'), 'https://g.example/1');
});
