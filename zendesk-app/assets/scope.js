// The scope rule of the support workflow, as advice while one types: pure functions, no
// clock. The server decides (common/request_scope.c); the two must say the same.

export const GRACE_DAYS = 14;
export const WINDOW_DAYS = 3;
export const SLACK_DAYS = 1; // the customer's day may be the one before or after UTC's

const DAY_MS = 86400000;
const OUTSIDE = { free: 'plan_free', none: 'plan_free', prospect: 'plan_prospect' };

// Days since 1970 of YYYY-MM-DD; null if there is no such day.
export function parseDay(text) {
  const match = /^(\d{4})-(\d{2})-(\d{2})$/.exec(text);
  if (!match) return null;
  const ms = Date.parse(`${text}T00:00:00Z`);
  return Number.isNaN(ms) || formatDay(ms / DAY_MS) !== text ? null : ms / DAY_MS;
}

export function formatDay(day) {
  return new Date(day * DAY_MS).toISOString().slice(0, 10);
}

export function dayOf(ms) {
  return Math.floor(ms / DAY_MS);
}

// {verdict: in, out or unknown; reason: a text's key under `scope`; values of that text}
export function checkScope(plan, expiredOn, today) {
  const name = plan.trim().toLowerCase();
  if (Object.hasOwn(OUTSIDE, name)) return { verdict: 'out', reason: OUTSIDE[name], values: {} };
  if (name === 'trial') return { verdict: 'in', reason: 'trial', values: {} };
  const expired = parseDay(expiredOn);
  if (expired === null) return { verdict: 'unknown', reason: 'blank', values: {} };
  const end = expired + GRACE_DAYS;
  const values = { end: formatDay(end), window: WINDOW_DAYS };
  if (today - end < -SLACK_DAYS) return { verdict: 'out', reason: 'early', values };
  if (today - end > WINDOW_DAYS + SLACK_DAYS) return { verdict: 'out', reason: 'over', values };
  if (!name) return { verdict: 'unknown', reason: 'blank', values: {} };
  return { verdict: 'in', reason: 'in', values };
}
