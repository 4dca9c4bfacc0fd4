// Draws the state. One function a screen; which press does what is in flow.js.

import { bdi, button, el, link, replace, said } from './dom.js';
import { formView } from './form_view.js';
import { STEPS } from './status.js';

export class View {
  constructor(texts, place, live) {
    Object.assign(this, { texts, place, live });
    this.screen = null;
    this.drawn = '';
    this.form = null;
  }

  show(state, flow) {
    const first = this.screen === null || this.screen === 'loading';
    const moved = state.screen !== this.screen;
    this.flow = flow;
    this.place.setAttribute('aria-busy', String(state.screen === 'loading'));
    if (state.screen === 'form' && !moved && state.filled === this.filled) this.form.update(state);
    else this.draw(state, moved);
    this.drawBelow(state);
    this.screen = state.screen;
    this.filled = state.filled;
    if (moved && !first) this.place.querySelector('h2')?.focus();
  }

  draw(state, moved) {
    const drawn = JSON.stringify({ ...state, others: 0, slow: 0 });
    if (!moved && drawn === this.drawn) return;
    this.drawn = drawn;
    this.body ??= el('div', {});
    if (!this.body.isConnected) this.place.replaceChildren(this.body, this.below = el('div', {}));
    if (state.screen === 'form') {
      this.form = formView(this.texts, this.flow, state);
      replace(this.body, [this.troubleOf(state), this.endedOf(state), this.form.node]);
    } else {
      replace(this.body, [this[state.screen](state)].flat());
    }
    this.say(state);
  }

  // What stands under every screen.
  drawBelow(state) {
    const drawn = JSON.stringify([state.screen, state.others, state.slow, state.ticket]);
    if (drawn === this.drawnBelow) return;
    this.drawnBelow = drawn;
    const { texts } = this;
    replace(this.below, [
      state.slow && el('p', { class: 'hint', role: 'status' }, texts.say('slow')),
      state.others?.length > 0 && state.screen !== 'running' && el('section', { class: 'callout' },
        el('h3', {}, texts.say('others.heading')), el('ul', {}, state.others.map((other) =>
          el('li', {}, said(texts, 'others.one', { ticket: other.ticket, end: moment(other.endsMs) }))))),
      state.contact && el('p', { class: 'foot' }, said(texts, 'contact', { contact: state.contact })),
      state.ticket && el('p', { class: 'foot' },
        said(texts, 'foot', { ticket: state.ticket.id, agent: state.agent.name })),
    ]);
  }

  // For those who do not see it change.
  say(state) {
    const heading = this.body.querySelector('h2')?.textContent ?? '';
    const now = this.body.querySelector('[data-say]')?.textContent ?? '';
    const text = state.screen === 'form' ? heading : `${heading}. ${now}`;
    if (this.live.textContent !== text) this.live.textContent = text;
  }

  // --- pieces ---

  t(key, values) {
    return this.texts.say(key, values);
  }

  heading(key) {
    return el('h2', { tabindex: '-1' }, this.t(key));
  }

  text(key, values, kind) {
    return el('p', { class: kind, 'data-say': true }, said(this.texts, key, values));
  }

  whyText(why) {
    return why ? this.t(...why) : '';
  }

  troubleOf({ trouble }) {
    return trouble && el('p', { class: 'callout warning' },
      said(this.texts, trouble.key, { why: this.whyText(trouble.why) }));
  }

  endedOf({ pastMs }) {
    return pastMs > 0 && el('p', { class: 'hint' },
      said(this.texts, 'licensed.ended', { end: moment(pastMs) }));
  }

  button(name, kind) {
    const presses = { send: 'send', back: 'back', resend: 'resend', correct: 'correct', done: 'rest',
      again: 'again', look: 'look', reopen: 'start', form: 'again' };
    return button(this.texts, name, () => this.flow[presses[name]](), kind);
  }

  buttons(...nodes) {
    return el('div', { class: 'buttons' }, nodes);
  }

  // What can be done with a license that is out.
  afterwards() {
    return this.buttons(this.button('done', 'primary'), this.button('resend'), this.button('correct'));
  }

  links(job) {
    return [link(this.t('done.record'), job.issueUrl),
      job.state !== 'done' && link(this.t('late.report'), job.reportUrl)].filter(Boolean);
  }

  steps({ job, resending }) {
    const done = new Set(['request', ...(job?.steps ?? [])]);
    const names = ['request', ...STEPS];
    const now = job && !['done', 'failed'].includes(job.state) && names.find((name) => !done.has(name));
    return el('ol', { class: 'steps' }, (resending ? names.slice(1) : names).map((name) => {
      const is = done.has(name) ? 'is_done' : name === now ? 'is_now' : 'is_open';
      return el('li', { class: is }, el('span', { class: 'mark', 'aria-hidden': 'true' }),
        this.t(`step.${name}`), el('span', { class: 'unseen' }, `: ${this.t(`step.${is}`)}`));
    }));
  }

  // --- screens ---

  loading() {
    return this.text('loading');
  }

  setup({ names }) {
    return [this.heading('setup.heading'), this.text('setup.text', { names: names.join(', ') }, 'callout error')];
  }

  broken({ why }) {
    return [this.heading('broken.heading'), this.text('broken.text', { why: this.whyText(why) }, 'callout error'),
      this.buttons(button(this.texts, 'look', () => this.flow.start()))];
  }

  closed(state) {
    return [this.heading('closed.heading'), this.troubleOf(state), this.text('closed.text', {}, 'callout warning')];
  }

  confirm(state) {
    const { form, ticket, scope, requesterId, correcting } = state;
    const row = (key, value) => [el('dt', {}, this.t(key)),
      el('dd', {}, value ? bdi(shownText(this.texts, value)) : this.t('confirm.none'))];
    const note = correcting ? form.reason : form.note;
    const values = { users: Number(form.users), email: form.email.trim() };
    return [
      this.heading('confirm.heading'),
      this.text('confirm.text', values),
      el('dl', {}, row('confirm.to', form.email.trim()),
        !requesterId && ticket.name && row('confirm.name', ticket.name),
        row('confirm.users', String(Number(form.users))), row('confirm.plan', form.plan.trim()),
        row('confirm.expired', form.expiredOn), note.trim() && row('confirm.note', note.trim())),
      scope?.verdict === 'out' && el('p', { class: 'callout warning' },
        `${this.t(`scope.${scope.reason}`, scope.values)} ${this.t('scope.advice')}`),
      requesterId && el('p', { class: 'callout' }, said(this.texts, 'confirm.requester', values)),
      correcting && el('p', { class: 'hint' }, this.t('confirm.earlier')),
      !(state.shots.dashboard && state.shots.license) && el('p', { class: 'hint' }, this.t('confirm.shots')),
      this.buttons(this.button('send', 'primary'), this.button('back')),
    ];
  }

  running(state) {
    const { job, phase } = state;
    return [this.heading('running.heading'), this.text(phase ?? `running.${job?.state ?? 'wait'}`),
      this.steps(state), this.troubleOf(state)];
  }

  late(state) {
    const { job, stopped, trouble } = state;
    return [this.heading('late.heading'), this.troubleOf(state) ?? this.text('late.text', {}, 'callout warning'),
      job && this.steps(state), job?.error && this.words(job), job && this.links(job),
      stopped && el('p', {}, this.t('late.stopped')),
      this.buttons(stopped && this.button('look', 'primary'), trouble && this.button('again'))].flat();
  }

  done(state) {
    const { job, resending } = state;
    return [this.heading('done.heading'), this.text(resending ? 'done.resent' : 'done.text', {}, 'callout success'),
      this.until(job), this.steps(state), this.links(job), this.afterwards()].flat();
  }

  licensed(state) {
    const { job } = state;
    return [this.heading('licensed.heading'), this.text('licensed.text', {}, 'callout success'),
      this.until(job), this.links(job), this.afterwards()].flat();
  }

  duplicate(state) {
    const { job } = state;
    return [this.heading('duplicate.heading'), this.text('duplicate.text', {}, 'callout'),
      this.until(job), this.links(job), this.afterwards()].flat();
  }

  until(job) {
    return job.endsMs > 0 && el('p', {}, said(this.texts, 'done.until', { end: moment(job.endsMs) }));
  }

  words(job) {
    return el('div', {}, el('p', { class: 'hint' }, this.t('failed.words')),
      el('blockquote', {}, bdi(shownText(this.texts, job.error.text))));
  }

  failed(state) {
    const { job, resending } = state;
    const mailed = job.steps.includes('email');
    const kind = resending ? 'resend_spent'
      : this.texts.has(`failed.${job.error?.class}`) ? job.error.class : 'other';
    const heading = resending ? 'heading_resend' : mailed ? 'heading_mailed' : 'heading';
    return [this.heading(`failed.${heading}`), this.text(`failed.${kind}`, {}, 'callout error'),
      job.error?.text && this.words(job), this.links(job), !resending && this.steps(state),
      el('p', { class: 'foot' }, said(this.texts, 'failed.job', { job: job.id })),
      this.buttons(resending ? this.button('reopen', 'primary') : this.button('again', 'primary'))].flat();
  }

  notsent(state) {
    const { trouble, resending } = state;
    return [this.heading('notsent.heading'),
      this.text(trouble.key, { why: this.whyText(trouble.why) }, 'callout error'),
      this.buttons(resending ? this.button('reopen', 'primary') : this.button('again', 'primary'))];
  }

  rest({ job }) {
    return [this.heading('rest.heading'), this.text('rest.text'), this.until(job), this.links(job),
      this.buttons(this.button('reopen'))].flat();
  }
}

function shownText(texts, value) {
  return texts.say('value', { value });
}

export function moment(ms) {
  return `${new Date(ms).toISOString().slice(0, 16).replace('T', ' ')} UTC`;
}
