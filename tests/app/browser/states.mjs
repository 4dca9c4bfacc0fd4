// Each state of the app as a person sees it: a picture, what axe-core says of it, and what
// must be on it. Host and app speak the SDK's real protocol, by the SDK's real code.
//
//   node states.mjs OUT            OUT/app: the package, unpacked; OUT/npm: packages
import assert from 'node:assert/strict';
import path from 'node:path';
import { DAY, NOW, World, fail } from '../world.mjs';
import { Stage } from './stage.mjs';

const [out] = process.argv.slice(2);
const HOSTILE = '<img src=x onerror=alert(1)><script>alert(2)</script>\u202Egro.live\u202C';

class Host extends World {
  constructor() {
    super();
    this.host = {
      ticketId: 4711, refuses: [],
      settings: { receiver_url: 'https://hooks.example.com', field_users: '11', field_plan: '12',
        field_expired_on: '13', contact: '#support_licensing' },
      values: { 'currentUser.email': 'sam@vendor.example', 'currentUser.name': 'Sam Agent',
        'currentUser.locale': 'en-US', 'ticket.requester.email': 'nina@customer.example' },
    };
    this.users[0].name = 'Nina Customer';
  }
}

let stage;
let passed = 0;
let failed = 0;
const only = process.env.ONLY;

async function scene(name, options, prepare, act) {
  if (only && !name.includes(only)) return;
  const world = new Host();
  prepare(world);
  const play = await stage.play(world, { at: NOW, ...options });
  try {
    await play.frame.waitForSelector('#app[aria-busy=false], #app:has-text("Reading")');
    await act?.({ ...play, world });
    await play.page.waitForTimeout(120);
    await (await play.page.$('#app')).screenshot({ path: path.join(out, `${name}.png`) });
    await play.frame.evaluate(stage.axe);
    const found = await play.frame.evaluate('axe.run()');
    const serious = found.violations.filter((v) => ['serious', 'critical'].includes(v.impact));
    assert.deepEqual(serious.map((v) => `${v.id}: ${v.nodes.map((n) => n.html).join(' | ')}`), []);
    assert.deepEqual(found.violations.map((v) => v.id).filter((id) => !['region', 'page-has-heading-one', 'landmark-one-main'].includes(id)), []);
    assert.deepEqual((await play.page.evaluate('window.said')).faults, []);
    assert.deepEqual(play.errors, []);
    const wider = await play.frame.evaluate('document.documentElement.scrollWidth > innerWidth');
    assert.equal(wider, false, 'it scrolls sideways');
    passed++;
    console.log(`ok ${name}`);
  } catch (e) {
    failed++;
    console.log(`FAILED ${name}: ${e.message}`);
    await play.page.screenshot({ path: path.join(out, `${name}.png`) }).catch(() => {});
  }
  await play.context.close();
}

const has = (frame, text) => frame.waitForSelector(`#app:has-text(${JSON.stringify(text)})`, { timeout: 10000 });
const press = (frame, name) => frame.click(`#b-${name}`);
const later = (page, ms) => page.clock.runFor(ms);

// One by one, since what is waited for starts new waits.
async function seconds(page, count) {
  for (let n = 0; n < count; n++) {
    await later(page, 1000);
    await page.waitForTimeout(30);
  }
}

async function filled({ frame }) {
  await has(frame, 'New license');
  await frame.fill('#f-users', '250');
}

async function confirmed(play) {
  await filled(play);
  await press(play.frame, 'review');
  await has(play.frame, 'Send this?');
}

async function sent(play) {
  await confirmed(play);
  await press(play.frame, 'send');
}

const nothing = () => {};
const blank = (w) => { w.ticket.custom_fields = []; };

async function scenes() {
  await scene('01-empty', {}, blank, ({ frame }) => has(frame, 'New license'));
  await scene('02-filled', {}, nothing, filled);
  await scene('03-out-of-scope', {}, (w) => { w.ticket.custom_fields[2].value = '2026-01-01'; }, async (p) => {
    await filled(p);
    await has(p.frame, 'Out of scope');
    await has(p.frame, 'Send all the same');
  });
  await scene('04-faults', {}, nothing, async ({ frame }) => {
    await has(frame, 'New license');
    await frame.fill('#f-users', '1,000');
    await press(frame, 'review');
    await has(frame, 'in digits only');
    assert.equal(await frame.evaluate('document.activeElement.id'), 'f-users');
  });
  await scene('05-screenshots-asked', {}, nothing, async ({ page, frame }) => {
    await has(frame, 'New license');
    await press(frame, 'ask_shots');
    await has(frame, 'The request is in the reply');
    assert.match((await page.evaluate('window.said.inserted'))[0], /two screenshots/);
  });
  await scene('06-screenshots-no-editor', {}, (w) => { w.host.refuses = ['ticket.editor.insert', 'comment.appendText']; },
    async ({ frame }) => {
      await has(frame, 'New license');
      await press(frame, 'ask_shots');
      await has(frame, 'could not be written to');
    });
  await scene('07-confirm', {}, nothing, confirmed);
  await scene('08-running', {}, (w) => {
    w.onAsk = () => { w.jobs[4711] = w.job('active', { steps: ['validate', 'sign'] }); };
  }, async (p) => { await sent(p); await has(p.frame, 'Stopgap is at work'); });
  await scene('09-done', {}, (w) => { w.onAsk = () => { w.jobs[4711] = w.done(); }; },
    async (p) => { await sent(p); await has(p.frame, 'License sent'); });
  await scene('10-failed', {}, (w) => {
    w.onAsk = () => { w.jobs[4711] = w.job('failed', { steps: ['validate', 'sign'],
      report_url: 'https://gitlab.example/group/project/-/issues/18',
      error: { class: 'permanent', text: 'mail server at RCPT: 550 5.1.1 n***@customer.example: user unknown' } }); };
  }, async (p) => { await sent(p); await has(p.frame, 'No license was sent'); });
  await scene('11-late', {}, (w) => {
    w.onAsk = () => { w.jobs[4711] = w.job('delayed', { steps: ['validate', 'sign'],
      report_url: 'https://gitlab.example/group/project/-/issues/19',
      error: { class: 'transient', text: 'mail server: timed out: connect to mail.vendor.example' } }); };
  }, async (p) => { await sent(p); await has(p.frame, 'Taking longer than usual'); });
  await scene('12-duplicate', {}, nothing, async (p) => {
    await confirmed(p);
    p.world.jobs[4711] = p.world.done(); // another agent was quicker
    await press(p.frame, 'send');
    await seconds(p.page, 16);
    await has(p.frame, 'No second license');
  });
  await scene('13-licensed', {}, (w) => {
    w.jobs[4711] = w.done();
    w.ticket.custom_fields[0] = { id: 11, value: 250 };
    w.others = [{ id: 4600, tags: ['license_queued'] }];
    w.jobs[4600] = w.done({ expires_ms: NOW + 3 * DAY });
  }, ({ frame }) => has(frame, 'Other live licenses').then(() => has(frame, 'Ticket 4600')));
  await scene('14-resent', {}, (w) => {
    w.jobs[4711] = w.done();
    w.jobs.resend = { job_id: 'wish1', status: 'queued' };
    w.jobs.wish1 = w.done({ asked_for: 'wish1' });
  }, async ({ frame }) => {
    await has(frame, 'This ticket has a license');
    await press(frame, 'resend');
    await has(frame, 'was mailed again');
  });
  await scene('15-correction', {}, (w) => {
    w.jobs[4711] = w.done();
    w.ticket.custom_fields[0] = { id: 11, value: 250 };
  }, async ({ frame }) => {
    await has(frame, 'This ticket has a license');
    await press(frame, 'correct');
    await press(frame, 'review');
    await has(frame, 'Nothing is changed');
  });
  await scene('16-correction-confirm', {}, (w) => {
    w.jobs[4711] = w.done();
    w.users.push({ id: 8, name: 'Nia', email: 'nia@customer.example' });
  }, async ({ frame }) => {
    await has(frame, 'This ticket has a license');
    await press(frame, 'correct');
    await frame.fill('#f-email', 'nia@customer.example');
    await frame.fill('#f-users', '300');
    await frame.fill('#f-reason', 'The first address was misspelt.');
    await press(frame, 'review');
    await has(frame, 'becomes the ticket');
  });
  await scene('17-receiver-down', {}, (w) => { w.broken = ({ url }) => url.startsWith('https:') && fail(503, { error: 'x' }); },
    ({ frame }) => has(frame, 'is unknown at this time'));
  await scene('18-receiver-down-after-sending', {}, nothing, async (p) => {
    await confirmed(p);
    p.world.broken = ({ url }) => url.startsWith('https:') && fail(0);
    await press(p.frame, 'send');
    await has(p.frame, 'The request is not lost');
  });
  await scene('19-slow', {}, (w) => {
    const { request } = w;
    w.request = (o) => (o.url.startsWith('https:') ? new Promise(() => {}) : request(o));
  }, async ({ page, frame }) => { await has(frame, 'Reading'); await later(page, 4000); await has(frame, 'Still waiting'); });
  await scene('20-no-trigger', {}, (w) => { w.trigger = false; }, async (p) => {
    await sent(p);
    await seconds(p.page, 16);
    await has(p.frame, 'no trigger took it up');
  });
  await scene('21-unseen', {}, nothing, async (p) => {
    await sent(p);
    await seconds(p.page, 16);
    await has(p.frame, 'has not seen it yet');
  });
  await scene('22-closed', {}, (w) => { w.ticket.status = 'closed'; }, ({ frame }) => has(frame, 'ticket is closed'));
  await scene('23-not-set-up', {}, (w) => { w.host.settings.field_plan = ''; }, ({ frame }) => has(frame, 'field_plan'));
  await scene('24-unsaved', {}, (w) => { w.host.values['ticket.requester.email'] = 'other@customer.example'; },
    async (p) => { await filled(p); await press(p.frame, 'review'); await has(p.frame, 'not saved'); });
  await scene('25-rest', {}, (w) => { w.jobs[4711] = w.done(); }, async ({ frame }) => {
    await has(frame, 'This ticket has a license');
    await press(frame, 'done');
    await has(frame, 'All done here');
  });
  await looks();
  await hostile();
  await keyboard();
}

async function looks() {
  await scene('30-narrow', { width: 240 }, nothing, confirmed);
  await scene('31-narrow-form', { width: 240 }, nothing, filled);
  await scene('32-wide', { width: 700 }, nothing, filled);
  await scene('33-dark-form', { scheme: 'dark' }, (w) => { w.ticket.custom_fields[2].value = '2026-01-01'; }, filled);
  await scene('34-dark-done', { scheme: 'dark' }, (w) => { w.onAsk = () => { w.jobs[4711] = w.done(); }; },
    async (p) => { await sent(p); await has(p.frame, 'License sent'); });
  await scene('35-dark-failed', { scheme: 'dark' }, (w) => {
    w.jobs[4711] = w.job('failed', { error: { class: 'invalid', text: 'users: must be there' } });
  }, ({ frame }) => has(frame, 'No license was sent'));
  await scene('36-turned-dark', {}, (w) => { w.jobs[4711] = w.done(); }, async ({ page, frame }) => {
    await has(frame, 'This ticket has a license');
    await page.evaluate(() => window.tell_app('colorScheme.changed', 'dark'));
    await frame.waitForSelector('html[data-scheme=dark]');
  });
}

async function inert(frame) {
  assert.equal(await frame.evaluate('document.querySelectorAll("#app img, #app script, #app b").length'), 0);
  assert.equal(await frame.evaluate('/\\u202e/.test(document.body.textContent)'), false);
}

async function hostile() {
  await scene('40-hostile-form', {}, (w) => {
    w.users[0].name = HOSTILE;
    w.host.settings.contact = `<b>${HOSTILE}</b>`;
    w.host.values['currentUser.name'] = HOSTILE;
    w.ticket.custom_fields[1].value = HOSTILE;
  }, async ({ frame }) => {
    await has(frame, 'New license');
    await has(frame, '<img src=x');
    await inert(frame);
  });
  await scene('41-hostile-status', {}, (w) => {
    w.jobs[4711] = w.job('failed', { steps: ['<b>', 'sign'], report_url: 'javascript:alert(1)', issue_url: 'data:text/html,x',
      error: { class: '<b>', text: `${HOSTILE} שלום عالم` } });
  }, async ({ frame }) => {
    await has(frame, 'No license was sent');
    assert.equal(await frame.evaluate('document.querySelectorAll("a").length'), 0);
    await inert(frame);
  });
  await scene('42-right-to-left', {}, (w) => { w.users[0].name = 'نينا العميل'; }, confirmed);
}

async function keyboard() {
  const focused = (frame) => frame.evaluate('document.activeElement.id || document.activeElement.tagName');
  await scene('50-keyboard', {}, (w) => { w.onAsk = () => { w.jobs[4711] = w.done(); }; }, async ({ page, frame }) => {
    await has(frame, 'New license');
    await page.keyboard.press('Tab');
    for (let n = 0; n < 3 && await focused(frame) !== 'f-users'; n++) await page.keyboard.press('Tab');
    assert.equal(await focused(frame), 'f-users');
    await page.keyboard.type('250');
    await page.keyboard.press('Enter');
    await has(frame, 'Send this?');
    assert.equal(await focused(frame), 'H2');
    await page.keyboard.press('Tab');
    assert.equal(await focused(frame), 'b-send');
    await page.keyboard.press('Enter');
    await has(frame, 'License sent');
    assert.match(await frame.textContent('#live'), /License sent/);
    await page.keyboard.press('Tab');
    assert.match(await focused(frame), /^a-https/);
    await page.keyboard.press('Tab');
    assert.equal(await focused(frame), 'b-done');
  });
  await scene('51-keyboard-escape-of-confirm', {}, nothing, async ({ page, frame }) => {
    await confirmed({ frame });
    await page.keyboard.press('Tab');
    await page.keyboard.press('Tab');
    assert.equal(await focused(frame), 'b-back');
    await page.keyboard.press('Enter');
    await has(frame, 'New license');
    assert.equal(await frame.inputValue('#f-users'), '250');
  });
}

stage = await Stage.open(out);
try {
  await scenes();
} finally {
  await stage.close();
}
console.log(`${passed} passed, ${failed} failed`);
process.exit(failed ? 1 : 0);
