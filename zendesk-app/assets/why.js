// Faults of either side in a few words: [key of a text, its values].

const COMMON = { timeout: 'timeout', 0: 'network', 409: 'conflict', 429: 'busy' };
const ZENDESK = { ...COMMON, 401: 'rights', 403: 'rights', 404: 'gone', 422: 'invalid' };
const RECEIVER = { ...COMMON, 401: 'token', 400: 'proxy', 403: 'proxy', 404: 'proxy', 503: 'unavailable' };

function said(table, answer, words) {
  const name = table[answer.status] ?? 'other';
  return [`why.${name === 'invalid' && !words ? 'other' : name}`, { status: answer.status, words }];
}

// Zendesk's own words, where it refuses what was written.
export function whyZendesk(answer) {
  const details = Object.values(answer.body?.details ?? {}).flat();
  const words = details.map((d) => d?.description).filter(Boolean).join('; ')
    || answer.body?.description;
  return said(ZENDESK, answer, typeof words === 'string' ? words.slice(0, 300) : '');
}

export function whyReceiver(answer) {
  return said(RECEIVER, answer, '');
}
