// What the receiver says of a ticket's license. May read and ask for the same mail again,
// no more: that is all that its token allows.

const ENDED = ['done', 'failed'];
export const STEPS = ['validate', 'sign', 'email', 'record', 'close'];

export class Status {
  constructor(sdk, receiver) {
    this.sdk = sdk;
    this.base = `${receiver.replace(/\/+$/, '')}/v1/requests`;
  }

  // {job}, {none: true} or {fault: answer}
  async ofTicket(id) {
    return read(await this.sdk.outside('GET', `${this.base}?ticket_id=${encodeURIComponent(id)}`));
  }

  async ofJob(id) {
    return read(await this.sdk.outside('GET', `${this.base}/${encodeURIComponent(id)}`));
  }

  // key: of this press, so that a repeat of the call is the same wish
  async resend(id, agent, key) {
    const answer = await this.sdk.outside('POST', `${this.base}/${encodeURIComponent(id)}/resend`,
      { requested_by: agent }, { 'Idempotency-Key': key });
    const wish = answer.body?.job_id;
    return answer.status === 200 && typeof wish === 'string' ? { wish } : { fault: answer };
  }
}

function read(answer) {
  if (answer.status === 404 && answer.body?.error) return { none: true };
  const body = answer.body;
  if (answer.status !== 200 || typeof body?.job_id !== 'string') return { fault: answer };
  return {
    job: {
      id: body.job_id,
      askedFor: typeof body.asked_for === 'string' ? body.asked_for : null,
      state: String(body.status),
      steps: STEPS.filter((name) => Array.isArray(body.steps) && body.steps.includes(name)),
      error: body.error ? { class: String(body.error.class), text: String(body.error.text ?? '') } : null,
      issueUrl: webUrl(body.issue_url),
      reportUrl: webUrl(body.report_url),
      endsMs: Number(body.expires_ms) || 0,
      updatedMs: Number(body.updated_ms) || 0,
    },
  };
}

// Only what a browser may follow without harm.
export function webUrl(text) {
  try {
    const url = new URL(text);
    return ['https:', 'http:'].includes(url.protocol) && !url.username ? url.href : null;
  } catch {
    return null;
  }
}

export const ended = (job) => ENDED.includes(job.state);
export const alive = (job, now) => job.state === 'done' && job.endsMs > now;

// Is `job` what became of our press? before: the ticket's job then; null if there was none;
// {sinceMs} if that could not be asked: then what ended before it is not ours.
// ours, same (nothing new to be seen) or again (the one that had failed, failed anew).
export function compare(job, before) {
  if (before?.sinceMs) return ended(job) && job.updatedMs < before.sinceMs ? 'same' : 'ours';
  if (!before || job.id !== before.id) return 'ours';
  if (job.state !== before.state || !ended(job)) return 'ours';
  return job.updatedMs > before.updatedMs && job.state === 'failed' ? 'again' : 'same';
}
