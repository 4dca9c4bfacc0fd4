// A Zendesk and a receiver in a few lines, and a clock that is set by hand, for the flow.
// No rules here beyond what the flow needs to see; the real ones are in testenv/.
import { readFileSync } from 'node:fs';
import { Flow } from '../../zendesk-app/assets/flow.js';
import { Sdk } from '../../zendesk-app/assets/sdk.js';
import { Status } from '../../zendesk-app/assets/status.js';
import { Texts } from '../../zendesk-app/assets/texts.js';
import { Ticket } from '../../zendesk-app/assets/ticket.js';

export const NOW = Date.parse('2026-03-20T12:00:00Z');
export const DAY = 86400000;
const FIELDS = { users: '11', plan: '12', expiredOn: '13' };
const en = JSON.parse(readFileSync(new URL('../../zendesk-app/translations/en.json', import.meta.url)));

// Time passes only while somebody waits for it.
class Clock {
  constructor() {
    this.at = NOW;
    this.waiting = [];
  }

  now() {
    return this.at;
  }

  wait(ms) {
    return new Promise((done) => this.waiting.push({ at: this.at + ms, done }));
  }

  // Lets everything that is ready run, then moves to what is next, until `ms` have passed.
  async pass(ms) {
    const end = this.at + ms;
    for (;;) {
      await new Promise((done) => { setImmediate(done); });
      this.waiting.sort((a, b) => a.at - b.at);
      if (!this.waiting.length || this.waiting[0].at > end) break;
      const next = this.waiting.shift();
      this.at = Math.max(this.at, next.at);
      next.done();
    }
    this.at = end;
  }
}

export const fail = (status, body) => {
  throw { status, responseText: JSON.stringify(body ?? {}) };
};

export class World {
  constructor() {
    this.clock = new Clock();
    this.calls = [];
    this.ticket = { id: 4711, status: 'open', tags: ['vip'], requester_id: 7, custom_fields: [
      { id: 11, value: null }, { id: 12, value: 'premium' }, { id: 13, value: '2026-03-05' }] };
    this.users = [{ id: 7, name: 'Nina', email: 'nina@customer.example' }];
    this.others = [];
    this.jobs = {}; // ticket or job id: what GET answers
    this.trigger = true;
    this.onAsk = () => {};
    this.broken = null; // (call) => throws
    this.shown = [];
    this.seen = [];
  }

  job(state, more = {}) {
    return { job_id: 'job1', status: state, ticket_id: 4711, steps: [], updated_ms: this.clock.now(), ...more };
  }

  done(more = {}) {
    return this.job('done', { steps: ['validate', 'sign', 'email', 'record', 'close'],
      issue_url: 'https://gitlab.example/1', expires_ms: NOW + 10 * DAY, ...more });
  }

  request = async (options) => {
    const { type, url } = options;
    this.calls.push({ type, url, data: options.data && JSON.parse(options.data), options });
    this.broken?.({ type, url });
    if (url.startsWith('https://')) return this.receiver(type, url);
    return this.zendesk(type, url, options.data && JSON.parse(options.data));
  };

  receiver(type, url) {
    if (type === 'POST') return this.jobs.resend ?? fail(404, { error: 'none' });
    const found = this.jobs[decodeURIComponent(url.match(/[=/]([^=/]+)$/)[1])];
    return found ?? fail(404, { error: 'there is no request of that ticket' });
  }

  zendesk(type, url, data) {
    if (url.includes('/requested')) return { tickets: this.others };
    if (url.includes('/users/search')) return { users: this.users.filter((u) => decodeURIComponent(url).toLowerCase().includes(u.email)) };
    if (url.includes('/tags')) {
      if (type === 'PUT') {
        this.ticket.tags = [...this.ticket.tags, ...data.tags];
        if (this.trigger) this.ticket.tags = ['vip', 'license_queued'];
        this.onAsk();
      }
      return { tags: this.ticket.tags };
    }
    if (type === 'PUT') Object.assign(this.ticket, data.ticket);
    return { ticket: this.ticket, users: this.users };
  }

  calledWith(type, piece) {
    return this.calls.filter((c) => c.type === type && c.url.includes(piece));
  }

  // The flow, started and settled.
  async open() {
    const { clock } = this;
    const sdk = new Sdk({ request: this.request }, clock, (slow) => this.flow?.set({ slow }));
    this.flow = new Flow({
      texts: new Texts(en.ui), clock, ticket: new Ticket(sdk, FIELDS),
      status: new Status(sdk, 'https://hooks.example.com/'),
      insert: async () => true, unsaved: async () => this.unsaved === true, ticketId: 4711,
      agent: { email: 'sam@vendor.example', name: 'Sam' }, contact: '',
      show: (state) => { if (this.shown.at(-1) !== state.screen) this.shown.push(state.screen); },
    });
    this.flow.start();
    await clock.pass(0);
    return this.flow;
  }

  get state() {
    return this.flow.state;
  }

  async fill(values = { users: '25' }) {
    for (const [name, value] of Object.entries(values)) this.flow.edit(name, value);
    this.flow.review();
    await this.clock.pass(0);
  }

  async press(name, ms = 0) {
    this.flow[name]();
    await this.clock.pass(ms);
  }
}
