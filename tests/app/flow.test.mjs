// What each press does, in every turn that things can take.
import assert from 'node:assert/strict';
import test from 'node:test';
import { pause } from '../../zendesk-app/assets/flow.js';
import { DAY, NOW, World, fail } from './world.mjs';

async function sent(world, ms = 0) {
  await world.open();
  await world.fill();
  await world.press('send', ms);
}

test('three presses to a license', async () => {
  const w = new World();
  w.onAsk = () => { w.jobs[4711] = w.job('active', { steps: ['validate'] }); };
  await w.open();
  assert.deepEqual([w.state.screen, w.state.scope.verdict], ['form', 'in']);
  await w.fill();
  assert.equal(w.state.screen, 'confirm');
  assert.deepEqual(w.calls.filter((c) => c.type !== 'GET'), []);
  await w.press('send', 1000);
  assert.deepEqual([w.state.screen, w.state.job.steps], ['running', ['validate']]);
  w.jobs[4711] = w.done();
  await w.clock.pass(1000);
  assert.deepEqual([w.state.screen, w.state.job.issueUrl], ['done', 'https://gitlab.example/1']);
  const [fields, tag] = w.calls.filter((c) => c.type !== 'GET');
  assert.deepEqual(fields.data, { ticket: { custom_fields: [{ id: 11, value: 25 },
    { id: 12, value: 'premium' }, { id: 13, value: '2026-03-05' }] } });
  assert.deepEqual([tag.type, tag.url, tag.data],
    ['PUT', '/api/v2/tickets/4711/tags.json', { tags: ['license_request'] }]);
  const asked = w.calls.length;
  await w.clock.pass(600000);
  assert.equal(w.calls.length, asked); // over is over
});

test('the token is Zendesk\'s to fill in, and goes to the receiver only', async () => {
  const w = new World();
  await w.open();
  for (const { url, options } of w.calls) {
    const outside = url.startsWith('https://hooks.example.com/v1/requests?ticket_id=4711');
    assert.equal(options.headers?.Authorization, outside ? 'Bearer {{setting.token}}' : undefined);
    assert.equal(options.secure, outside ? true : undefined);
  }
});

test('faults keep it from being sent', async () => {
  const w = new World();
  await w.open();
  await w.fill({ users: 'ten' });
  assert.deepEqual([w.state.screen, w.state.faults], ['form', { users: 'users_form' }]);
  await w.fill({ users: '10' });
  assert.equal(w.state.screen, 'confirm');
  await w.press('back');
  assert.equal(w.state.screen, 'form');
});

test('out of scope is said, and left to the server', async () => {
  const w = new World();
  await w.open();
  w.flow.edit('plan', 'free');
  assert.deepEqual([w.state.scope.verdict, w.state.scope.reason], ['out', 'plan_free']);
  await w.fill();
  assert.equal(w.state.screen, 'confirm');
});

test('a requester that is changed but not saved', async () => {
  const w = new World();
  w.unsaved = true;
  await w.open();
  await w.fill();
  assert.deepEqual([w.state.screen, w.state.unsaved], ['form', true]);
});

test('a second press of Send is none', async () => {
  const w = new World();
  await w.open();
  await w.fill();
  w.flow.send();
  await w.press('send');
  assert.equal(w.calledWith('PUT', '/tags').length, 1);
});

test('failed: the reason, and asking again', async () => {
  const w = new World();
  w.onAsk = () => { w.jobs[4711] = w.job('failed', { error: { class: 'permanent', text: '550 no' } }); };
  await sent(w, 1000);
  assert.deepEqual([w.state.screen, w.state.job.error.class], ['failed', 'permanent']);
  await w.press('again');
  w.onAsk = () => { w.jobs[4711] = w.job('queued', { updated_ms: NOW + 5000 }); };
  await w.fill();
  await w.press('send', 1000);
  assert.equal(w.state.screen, 'running');
});

test('failed anew with the same id is not taken for the old failure', async () => {
  const w = new World();
  w.jobs[4711] = w.job('failed', { updated_ms: 1 });
  await w.open();
  await w.press('again');
  await w.fill();
  await w.press('send', 3000);
  assert.equal(w.state.screen, 'running');
  w.jobs[4711] = w.job('failed', { updated_ms: 2 });
  await w.clock.pass(20000);
  assert.equal(w.state.screen, 'failed');
});

test('late by the server\'s word, late by the clock, and at last no more asking', async () => {
  const w = new World();
  w.onAsk = () => { w.jobs[4711] = w.job('delayed', { report_url: 'https://gitlab.example/2' }); };
  await sent(w, 1000);
  assert.equal(w.state.screen, 'late');
  delete w.jobs[4711].report_url;
  await w.clock.pass(1000);
  assert.equal(w.state.screen, 'running');
  await w.clock.pass(70000);
  assert.equal(w.state.screen, 'late');
  await w.clock.pass(700000);
  assert.equal(w.state.stopped, true);
  const polls = w.calledWith('GET', '/v1/').length;
  assert.ok(polls < 80, `${polls}`);
  w.jobs[4711] = w.done();
  await w.press('look', 1000);
  assert.equal(w.state.screen, 'done');
});

test('no trigger: said, since the tag is still there', async () => {
  const w = new World();
  w.trigger = false;
  await sent(w, 20000);
  assert.deepEqual([w.state.screen, w.state.trouble.key], ['notsent', 'notsent.trigger']);
});

test('sent, and not yet seen', async () => {
  const w = new World();
  await sent(w, 20000);
  assert.deepEqual([w.state.screen, w.state.trouble.key], ['late', 'late.unseen']);
  w.jobs[4711] = w.done();
  await w.clock.pass(5000);
  assert.equal(w.state.screen, 'done');
});

test('Zendesk refuses the fields, or the tag', async () => {
  for (const [piece, key] of [['4711.json', 'notsent.write'], ['tags.json', 'notsent.tag']]) {
    const w = new World();
    w.broken = ({ type, url }) => type === 'PUT' && url.includes(piece)
      && fail(422, { details: { base: [{ description: 'Status: closed prevents ticket update' }] } });
    await sent(w);
    assert.deepEqual([w.state.screen, w.state.trouble.key], ['notsent', key]);
    assert.equal(w.flow.texts.say(...w.state.trouble.why), 'Status: closed prevents ticket update');
  }
});

test('a note is written once, however often one presses', async () => {
  const w = new World();
  w.broken = ({ type, url }) => type === 'PUT' && url.includes('tags') && fail(503);
  await w.open();
  await w.fill({ users: '25', note: 'down since Friday' });
  await w.press('send');
  w.broken = null;
  await w.press('again');
  await w.fill({});
  await w.press('send');
  const notes = w.calledWith('PUT', '4711.json').map((c) => c.data.ticket.comment);
  assert.deepEqual(notes, [{ body: 'Note on the emergency license: down since Friday', public: false }, undefined]);
});

test('the receiver down: sending goes on, and the status comes when it is back', async () => {
  const w = new World();
  w.broken = ({ url }) => url.startsWith('https://') && fail(503, { error: 'away' });
  await w.open();
  assert.deepEqual([w.state.screen, w.state.trouble.key], ['form', 'down.text']);
  await w.fill();
  await w.press('send', 3000);
  assert.deepEqual([w.state.screen, w.state.trouble.key], ['running', 'running.blind']);
  w.broken = null;
  w.jobs[4711] = w.done();
  await w.clock.pass(15000);
  assert.equal(w.state.screen, 'done');
});

test('slow is said; without end it is down', async () => {
  const w = new World();
  const { request } = w;
  w.request = (o) => (o.url.startsWith('https://') ? new Promise(() => {}) : request(o));
  await w.open();
  await w.clock.pass(4000);
  assert.deepEqual([w.state.screen, w.state.slow], ['loading', true]);
  await w.clock.pass(15000);
  assert.deepEqual([w.state.screen, w.state.slow, w.state.trouble.why[0]], ['form', false, 'why.timeout']);
});

test('a ticket with a license: the same again', async () => {
  const w = new World();
  w.jobs[4711] = w.done();
  await w.open();
  assert.equal(w.state.screen, 'licensed');
  w.jobs.resend = { job_id: 'wish1', status: 'queued', resend_of: 'job1' };
  w.jobs.wish1 = w.job('queued', { job_id: 'wish1' });
  await w.press('resend', 1000);
  assert.equal(w.state.screen, 'running');
  const [call] = w.calledWith('POST', '/v1/requests/job1/resend');
  assert.deepEqual(call.data, { requested_by: 'sam@vendor.example' });
  w.jobs.wish1 = w.done({ asked_for: 'wish1' });
  await w.clock.pass(1000);
  assert.deepEqual([w.state.screen, w.state.resending], ['done', true]);
});

test('a fourth time is refused, and the license is still shown', async () => {
  const w = new World();
  w.jobs[4711] = w.done();
  await w.open();
  w.jobs.resend = { job_id: 'wish1', status: 'queued' };
  w.jobs.wish1 = w.job('failed', { job_id: 'wish1', error: { class: 'limit', text: 'three' } });
  await w.press('resend', 1000);
  assert.deepEqual([w.state.screen, w.state.resending], ['failed', true]);
  await w.press('start');
  assert.equal(w.state.screen, 'licensed');
});

test('a resend that the receiver does not take', async () => {
  const w = new World();
  w.jobs[4711] = w.done();
  await w.open();
  await w.press('resend');
  assert.deepEqual([w.state.screen, w.state.trouble.key], ['notsent', 'notsent.resend']);
});

test('a correction: reason in a note that names the earlier job, a new license', async () => {
  const w = new World();
  w.ticket.custom_fields[0].value = 25;
  w.jobs[4711] = w.done();
  await w.open();
  await w.press('correct');
  await w.fill({ reason: 'miscounted' });
  assert.deepEqual(w.state.faults, { users: 'same' });
  await w.fill({ users: '30' });
  w.onAsk = () => { w.jobs[4711] = w.done({ job_id: 'job2' }); };
  await w.press('send', 2000);
  assert.deepEqual([w.state.screen, w.state.job.id], ['done', 'job2']);
  assert.equal(w.calledWith('PUT', '4711.json')[0].data.ticket.comment.body,
    'Correction of the emergency license (earlier one: job job1 https://gitlab.example/1). Why: miscounted');
});

test('a corrected address is a user of Zendesk, who becomes the requester', async () => {
  const w = new World();
  w.ticket.custom_fields[0].value = 25;
  w.jobs[4711] = w.done();
  w.users.push({ id: 8, name: 'Nia', email: 'nia@customer.example' });
  await w.open();
  await w.press('correct');
  await w.fill({ email: 'nobody@customer.example', reason: 'typo' });
  assert.deepEqual([w.state.screen, w.state.faults], ['form', { email: 'email_unknown' }]);
  await w.fill({ email: 'Nia@customer.example' });
  assert.deepEqual([w.state.screen, w.state.requesterId], ['confirm', 8]);
  await w.press('send');
  assert.equal(w.calledWith('PUT', '4711.json')[0].data.ticket.requester_id, 8);
});

test('two agents at once: the second learns that there is no second license', async () => {
  const w = new World();
  await w.open();
  await w.fill();
  w.jobs[4711] = w.done();
  await w.press('send', 14000);
  assert.equal(w.state.screen, 'duplicate');
});

test('another agent\'s license is not taken for ours', async () => {
  const w = new World();
  await w.open();
  await w.fill();
  w.jobs[4711] = w.done();
  await w.press('send', 2000);
  assert.equal(w.state.screen, 'running');
  w.jobs[4711] = w.done({ job_id: 'job2' });
  await w.clock.pass(1000);
  assert.deepEqual([w.state.screen, w.state.job.id], ['done', 'job2']);
});

test('a correction that is long under way is no duplicate', async () => {
  const w = new World();
  w.jobs[4711] = w.done();
  await w.open();
  await w.press('correct');
  await w.fill({ users: '30', reason: 'miscounted' });
  await w.press('send', 30000);
  assert.deepEqual([w.state.screen, w.state.trouble.key], ['late', 'late.unseen']);
});

test('nor an old one, when the receiver could not be asked before', async () => {
  const w = new World();
  w.broken = ({ url }) => url.startsWith('https://') && fail(503, { error: 'away' });
  await w.open();
  await w.fill();
  await w.press('send', 1000);
  w.broken = null;
  w.jobs[4711] = w.done({ updated_ms: NOW - DAY });
  await w.clock.pass(30000);
  assert.equal(w.state.screen, 'duplicate');
});

test('what is under way when the app is opened is shown', async () => {
  const w = new World();
  w.jobs[4711] = w.job('active', { steps: ['validate', 'sign'] });
  await w.open();
  assert.equal(w.state.screen, 'running');
  w.jobs[4711] = w.done();
  await w.clock.pass(1000);
  assert.equal(w.state.screen, 'done');
});

test('a license that has ended does not stand in the way', async () => {
  const w = new World();
  w.jobs[4711] = w.done({ expires_ms: NOW - DAY });
  await w.open();
  assert.deepEqual([w.state.screen, w.state.pastMs], ['form', NOW - DAY]);
});

test('other live licenses of the address', async () => {
  const w = new World();
  w.others = [{ id: 4711, tags: ['license_queued'] }, { id: 1, tags: ['license_sent'] },
    { id: 2, tags: ['vip'] }, { id: 3, tags: ['license_queued'] }];
  w.jobs[1] = w.done();
  w.jobs[3] = w.done({ expires_ms: NOW - 1 });
  await w.open();
  assert.deepEqual(w.state.others, [{ ticket: 1, endsMs: NOW + 10 * DAY }]);
});

test('closed, unreadable', async () => {
  const closed = new World();
  closed.ticket.status = 'closed';
  await closed.open();
  assert.equal(closed.state.screen, 'closed');
  const broken = new World();
  broken.broken = ({ url }) => url.includes('4711.json') && fail(403);
  await broken.open();
  assert.deepEqual([broken.state.screen, broken.state.why[0]], ['broken', 'why.rights']);
});

test('what was saved beside us is taken over, what was typed stays', async () => {
  const w = new World();
  await w.open();
  w.flow.edit('users', '30');
  w.ticket.custom_fields[1].value = 'ultimate';
  w.ticket.custom_fields[0].value = 5;
  await w.press('saved');
  assert.deepEqual([w.state.form.users, w.state.form.plan], ['30', 'ultimate']);
});

test('asking gets rarer', () => {
  assert.deepEqual([0, 19, 20, 21, 22, 23, 99].map(pause), [1000, 1000, 2000, 4000, 8000, 15000, 15000]);
});
