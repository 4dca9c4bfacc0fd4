// The state machine: what an agent sees, and what each press does. Knows no page: it calls
// show(state) after each change, and view.js draws that.
//
// Screens: loading, setup, broken, closed, form, confirm, running, late, done, licensed,
// duplicate, failed, notsent, rest.

import { faultsOf } from './form.js';
import { checkScope, dayOf } from './scope.js';
import { alive, compare, ended } from './status.js';
import { QUEUED, REQUEST } from './ticket.js';
import { whyReceiver, whyZendesk } from './why.js';

const EVERY_MS = 1000; // so often at first, then less and less
const OFTEN = 20;
const SELDOM_MS = 15000;
const LATE_MS = 60000; // so long it is no surprise
const STOP_MS = 600000;
const SKEW_MS = 300000; // between this clock and the receiver's
const UNSEEN_MS = 12000; // by then a trigger has fired, and a duplicate was recognised

export class Flow {
  // parts: {ticket, status, texts, clock, insert(text), unsaved(email), agent, contact,
  // ticketId, show}
  constructor(parts) {
    Object.assign(this, parts);
    this.watching = 0;
    this.written = ''; // the note that is on the ticket: a second press writes no second one
    this.state = { screen: 'loading', agent: this.agent, contact: this.contact,
      slow: false, filled: 0 };
  }

  set(changes) {
    this.state = { ...this.state, ...changes };
    this.show(this.state);
  }

  today() {
    return dayOf(this.clock.now());
  }

  // --- opening ---

  async start() {
    this.watching++;
    this.set({ screen: 'loading' });
    const read = await this.ticket.read(this.ticketId);
    if (read.fault) return this.set({ screen: 'broken', why: whyZendesk(read.fault) });
    this.set({ ticket: read.ok, form: blank(read.ok), shots: {}, inserted: null, correcting: null,
      faults: {}, others: [], trouble: null, job: null, resending: false });
    const found = await this.status.ofTicket(this.ticketId);
    this.open(found);
    return this.nameOthers();
  }

  // The first screen, by what the receiver knows of the ticket.
  open(found) {
    const job = found.job ?? null;
    const trouble = found.fault ? { key: 'down.text', why: whyReceiver(found.fault) } : null;
    const past = job?.state === 'done' && !alive(job, this.clock.now());
    this.set({ job, trouble, pastMs: past ? job.endsMs : 0 });
    if (job && !ended(job)) return this.follow(job, 0);
    if (job && alive(job, this.clock.now())) return this.set({ screen: 'licensed' });
    if (job && job.state === 'failed') return this.set({ screen: 'failed' });
    if (this.state.ticket.closed) return this.set({ screen: 'closed' });
    return this.fill();
  }

  async nameOthers() {
    const { id, requesterId } = this.state.ticket;
    const others = [];
    for (const other of await this.ticket.others(id, requesterId)) {
      const { job } = await this.status.ofTicket(other);
      if (job && alive(job, this.clock.now())) others.push({ ticket: other, endsMs: job.endsMs });
    }
    if (others.length) this.set({ others });
  }

  // --- the form ---

  fill() {
    this.set({ screen: this.state.ticket.closed ? 'closed' : 'form', faults: {}, tried: false,
      filled: this.state.filled + 1 });
    this.judge();
  }

  edit(name, value) {
    this.state.form = { ...this.state.form, [name]: value };
    this.judge();
  }

  tick(name, ticked) {
    this.set({ shots: { ...this.state.shots, [name]: ticked } });
  }

  // Faults are shown from the first press on; the scope always.
  judge() {
    const { form, correcting, tried } = this.state;
    this.set({
      scope: checkScope(form.plan, form.expiredOn, this.today()),
      faults: tried ? faultsOf(form, correcting) : {},
    });
  }

  async askShots() {
    const text = this.texts.say('reply');
    this.set({ inserted: await this.insert(text) });
  }

  async review() {
    const faults = faultsOf(this.state.form, this.state.correcting);
    this.set({ tried: true, faults, requesterId: null });
    if (Object.keys(faults).length) return this.set({ refused: (this.state.refused ?? 0) + 1 });
    if (await this.unsaved(this.state.ticket.email)) return this.set({ unsaved: true });
    this.set({ unsaved: false });
    return await this.findRequester() && this.set({ screen: 'confirm' });
  }

  // A corrected address makes its user the requester: the license goes to nobody else.
  async findRequester() {
    const email = this.state.form.email.trim();
    if (email.toLowerCase() === this.state.ticket.email.toLowerCase()) return true;
    const found = await this.ticket.findUser(email);
    if (found.ok) this.set({ requesterId: found.ok.id });
    else this.set({ faults: { email: found.fault ? 'email_unread' : 'email_unknown' },
      refused: (this.state.refused ?? 0) + 1 });
    return Boolean(found.ok);
  }

  // --- sending ---

  async send() {
    if (this.state.screen !== 'confirm') return; // a second press of the same button
    const { form, requesterId } = this.state;
    const note = this.note();
    this.watching++;
    this.set({ screen: 'running', job: null, phase: 'sending.fields', earlier: this.state.job,
      before: null, resending: false });
    this.set({ before: await this.asItStands() });
    const written = await this.ticket.write(this.ticketId, {
      ...form, requesterId, note: note === this.written ? '' : note });
    if (written.status !== 200) return this.notSent('notsent.write', whyZendesk(written));
    this.written = note;
    this.set({ phase: 'sending.tag' });
    const asked = await this.ticket.ask(this.ticketId);
    if (asked.status !== 200) return this.notSent('notsent.tag', whyZendesk(asked));
    this.set({ phase: 'running.wait', ticket: { ...this.state.ticket, email: form.email.trim(),
      users: form.users, plan: form.plan, expiredOn: form.expiredOn } });
    return this.watch((job) => compare(job, this.state.before));
  }

  // The ticket's job at this moment: another agent may have been quicker than we look.
  async asItStands() {
    const found = await this.status.ofTicket(this.ticketId);
    return found.fault ? { sinceMs: this.clock.now() - SKEW_MS } : found.job ?? null;
  }

  note() {
    const { form, correcting, job } = this.state;
    if (correcting) {
      return this.texts.say('note.correction',
        { reason: form.reason.trim(), job: job.id, link: job.issueUrl ?? '' });
    }
    return form.note.trim() ? this.texts.say('note.request', { note: form.note.trim() }) : '';
  }

  notSent(key, why) {
    this.set({ screen: 'notsent', trouble: { key, why }, job: this.state.earlier });
  }

  async resend() {
    if (this.state.screen === 'running') return;
    const before = this.state.job;
    this.watching++;
    this.set({ screen: 'running', phase: 'running.resend', earlier: before, job: null, resending: true });
    const key = `app-${before.id}-${this.clock.now()}`;
    const { wish, fault } = await this.status.resend(before.id, this.agent.email, key);
    if (!wish) return this.notSent('notsent.resend', whyReceiver(fault));
    // Until it is taken up, the wish is a job of its own; then its id leads to the license.
    await this.watch((job) => (job.id === wish || job.askedFor === wish ? 'ours' : 'same'), wish);
  }

  // --- watching ---

  follow(job, begun) {
    this.set({ screen: 'running', job, phase: null, before: null, begunMs: begun });
    return this.watch(() => 'ours');
  }

  look() {
    return this.state.resending ? this.start() : this.watch((job) => compare(job, this.state.before));
  }

  // Asks until it is over. judge(job): see compare. wish: id to ask for, not the ticket's.
  async watch(judge, wish = null) {
    const mine = ++this.watching;
    const begun = this.clock.now();
    this.set({ trouble: null, stopped: false });
    for (let n = 0; this.clock.now() - begun < STOP_MS; n++) {
      await this.clock.wait(pause(n));
      const found = wish ? await this.status.ofJob(wish) : await this.status.ofTicket(this.ticketId);
      if (mine !== this.watching) return;
      if (await this.took(found, judge, this.clock.now() - begun)) return;
      if (found.fault) n = Math.max(n, OFTEN); // it has trouble enough
    }
    this.set({ screen: 'late', stopped: true });
  }

  // True if that is the end of it.
  async took(found, judge, waitedMs) {
    if (found.fault) {
      this.set({ trouble: { key: 'running.blind', why: whyReceiver(found.fault) } });
      return false;
    }
    this.set({ trouble: null });
    const verdict = found.job ? judge(found.job) : 'none';
    if (verdict === 'ours' || (verdict === 'again' && waitedMs > UNSEEN_MS)) {
      return this.tell(found.job, waitedMs);
    }
    return waitedMs > UNSEEN_MS && this.unseen(found.job, verdict);
  }

  tell(job, waitedMs) {
    this.set({ job, phase: null });
    if (ended(job)) {
      this.set({ screen: job.state, correcting: null });
      return true;
    }
    const late = waitedMs > LATE_MS || job.reportUrl;
    this.set({ screen: late ? 'late' : 'running' });
    return false;
  }

  // Nothing new at the receiver: no trigger, a duplicate, or still on the way.
  async unseen(job, verdict) {
    const tags = await this.ticket.tags(this.ticketId);
    if (tags?.includes(REQUEST)) {
      this.notSent('notsent.trigger', null);
      return true;
    }
    if (verdict === 'same' && !this.state.correcting && tags?.includes(QUEUED) && alive(job, this.clock.now())) {
      this.set({ screen: 'duplicate', job, correcting: null });
      return true;
    }
    this.set({ screen: 'late', trouble: { key: 'late.unseen', why: null } });
    return false;
  }

  // --- after it ---

  correct() {
    const { email, users } = this.state.ticket;
    this.set({ correcting: { email, users } });
    this.fill();
  }

  again() {
    this.set({ correcting: null });
    this.fill();
  }

  back() {
    const { screen, job } = this.state;
    if (screen === 'confirm') return this.set({ screen: 'form' });
    this.set({ correcting: null, form: blank(this.state.ticket) });
    return this.open(job ? { job } : {});
  }

  rest() {
    this.set({ screen: 'rest' });
  }

  // The agent saved the ticket beside us: what is not typed over follows.
  async saved() {
    const { ok } = await this.ticket.read(this.ticketId);
    if (!ok || this.state.screen !== 'form') return;
    const { form, ticket: old } = this.state;
    for (const name of ['email', 'users', 'plan', 'expiredOn']) {
      if (form[name] === old[name]) form[name] = ok[name];
    }
    this.set({ ticket: ok, unsaved: false, filled: this.state.filled + 1 });
    this.judge();
  }
}

export function pause(n) {
  return n < OFTEN ? EVERY_MS : Math.min(SELDOM_MS, EVERY_MS * 2 ** (n - OFTEN + 1));
}

function blank({ email, users, plan, expiredOn }) {
  return { email, users, plan, expiredOn, note: '', reason: '' };
}
