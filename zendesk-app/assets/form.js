// What may stand in the form: pure functions. Faults are keys of texts, by field.

import { parseDay } from './scope.js';

export const USERS_MAX = 1000000;
export const NOTE_MAX = 500;
const PLAN = /^[A-Za-z][A-Za-z0-9 ._-]{0,39}$/; // as in deploy/zendesk/field_plan.json
const ADDRESS = /^[^\s@<>,;:"()[\]\\]{1,64}@[^\s@<>,;:"()[\]\\]{1,254}$/;

export function usersFault(text) {
  const digits = text.trim();
  if (!digits) return 'users_none';
  return /^\d{1,7}$/.test(digits) && Number(digits) >= 1 && Number(digits) <= USERS_MAX
    ? null : 'users_form';
}

export function emailFault(text) {
  const address = text.trim();
  if (!address) return 'email_none';
  return ADDRESS.test(address) ? null : 'email_form';
}

const planFault = (text) => (!text.trim() || PLAN.test(text.trim()) ? null : 'plan_form');
const dayFault = (text) => (!text || parseDay(text) !== null ? null : 'date_form');
const lengthFault = (text) => ([...text].length <= NOTE_MAX ? null : 'note_long');

function reasonFault(text) {
  return text.trim() ? lengthFault(text) : 'reason_none';
}

// earlier: {email, users} of the license that is corrected; null if none is.
export function faultsOf(form, earlier) {
  const found = {
    email: emailFault(form.email),
    users: usersFault(form.users),
    plan: planFault(form.plan),
    expiredOn: dayFault(form.expiredOn),
    ...(earlier ? { reason: reasonFault(form.reason) } : { note: lengthFault(form.note) }),
  };
  if (earlier && !found.users && !found.email && sameAs(form, earlier)) found.users = 'same';
  return Object.fromEntries(Object.entries(found).filter(([, fault]) => fault));
}

export function sameAs(form, earlier) {
  return form.email.trim().toLowerCase() === earlier.email.toLowerCase()
    && Number(form.users) === Number(earlier.users || NaN);
}
