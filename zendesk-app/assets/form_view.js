// The form: built once and then kept in step, so that nothing is lost while one types.

import { button, el, field, said } from './dom.js';
import { NOTE_MAX } from './form.js';
import { GRACE_DAYS, WINDOW_DAYS } from './scope.js';

const SHOTS = ['dashboard', 'license'];

export function formView(texts, flow, state) {
  const t = (key, values) => texts.say(`form.${key}`, values);
  const fields = state.correcting ? correctionFields(t, flow, state) : requestFields(t, flow, state);
  const scope = el('p', { id: 'scope', class: 'callout', 'aria-live': 'polite' });
  const unsaved = el('p', { class: 'callout warning', role: 'alert', hidden: true }, t('unsaved'));
  const submit = el('button', { type: 'submit', id: 'b-review', class: 'button primary' });
  const shots = shotsView(texts, flow, state);
  const node = el('form', { novalidate: true, onsubmit: (e) => { e.preventDefault(); flow.review(); } },
    el('h2', { tabindex: '-1' }, t(state.correcting ? 'heading_correct' : 'heading')),
    fields.map((f) => f.node), scope, shots.node, unsaved,
    el('div', { class: 'buttons' }, submit, state.correcting && button(texts, 'back', () => flow.back())));
  let refused = state.refused;

  function update(now) {
    for (const f of fields) f.mark(now.faults[f.name] && texts.say(`fault.${now.faults[f.name]}`));
    if (now.scope) showScope(texts, scope, now.scope);
    submit.textContent = texts.say(now.scope?.verdict === 'out' ? 'button.review_anyway' : 'button.review');
    unsaved.hidden = !now.unsaved;
    shots.update(now);
    if (now.refused !== refused) node.querySelector('[aria-invalid]')?.focus();
    refused = now.refused;
  }
  update(state);
  return { node, update };
}

function showScope(texts, place, scope) {
  const text = texts.say(`scope.${scope.reason}`, scope.values)
    + (scope.verdict === 'out' ? ` ${texts.say('scope.advice')}` : '');
  if (place.textContent === text) return;
  place.textContent = text;
  place.className = `callout ${{ in: 'success', out: 'warning' }[scope.verdict] ?? ''}`;
}

function text(flow, state, name, more = {}) {
  return el('input', { id: `f-${name}`, type: 'text', value: state.form[name], autocomplete: 'off',
    oninput: (e) => flow.edit(name, e.target.value), ...more });
}

function area(flow, state, name) {
  const node = el('textarea', { id: `f-${name}`, rows: 2, dir: 'auto', maxlength: NOTE_MAX * 2,
    oninput: (e) => flow.edit(name, e.target.value) });
  node.value = state.form[name];
  return node;
}

const named = (name, made) => ({ name, ...made });

function commonFields(t, flow, state) {
  return [
    named('users', field(t('users'), t('users_hint'),
      text(flow, state, 'users', { inputmode: 'numeric', required: true, maxlength: 12 }))),
    named('plan', field(t('plan'), t('plan_hint'), text(flow, state, 'plan', { maxlength: 60 }))),
    named('expiredOn', field(t('expired'), t('expired_hint', { grace: GRACE_DAYS, window: WINDOW_DAYS }),
      text(flow, state, 'expiredOn', { type: 'date' }))),
  ];
}

function requestFields(t, flow, state) {
  const address = el('output', { id: 'f-email', class: 'fixed', tabindex: '-1' },
    said(flow.texts, 'form.address', { name: state.ticket.name, email: state.ticket.email }));
  return [
    named('email', field(t('to'), t('to_hint'), address)),
    ...commonFields(t, flow, state),
    named('note', field(t('note'), t('note_hint'), area(flow, state, 'note'))),
  ];
}

function correctionFields(t, flow, state) {
  return [
    named('email', field(t('to'), t('to_hint_correct'),
      text(flow, state, 'email', { inputmode: 'email', dir: 'ltr', maxlength: 320 }))),
    ...commonFields(t, flow, state),
    named('reason', field(t('reason'), t('reason_hint'), area(flow, state, 'reason'))),
  ];
}

// Two ticks that stand for what an agent has seen; nothing depends on them.
function shotsView(texts, flow, state) {
  const t = (key, values) => texts.say(`form.${key}`, values);
  const boxes = SHOTS.map((name) => {
    const box = el('input', { type: 'checkbox', id: `s-${name}`, checked: state.shots[name],
      onchange: (e) => flow.tick(name, e.target.checked) });
    return el('label', { class: 'tick', for: box.id }, box, ` ${t(`shot_${name}`)}`);
  });
  const outcome = el('p', { class: 'hint', 'aria-live': 'polite' });
  const node = el('fieldset', {}, el('legend', {}, t('shots')), boxes,
    button(texts, 'ask_shots', () => flow.askShots(), 'small'), outcome);
  return {
    node,
    update(now) {
      if (now.inserted === null || now.inserted === undefined) return;
      outcome.textContent = now.inserted ? t('shots_put') : t('shots_failed', { text: texts.say('reply') });
    },
  };
}
