// A thin wrapper of Zendesk's client: one form of answer for each request, bounded waits.
// Knows no ticket and no license.

export const SLOW_MS = 3000;
const TIMEOUT_MS = 15000;

export class Sdk {
  // clock: {now(), wait(ms)}; onSlow(bool): a request takes long, or no longer does
  constructor(client, clock, onSlow = () => {}) {
    Object.assign(this, { client, clock, onSlow });
  }

  // {status, body}; never throws. status 0: no answer; 'timeout': none in time.
  async request(options) {
    const late = Symbol('late');
    let over = false;
    this.clock.wait(SLOW_MS).then(() => over || this.onSlow(true));
    const answer = await Promise.race([
      this.client.request({ autoRetry: false, ...options }).then(taken, refused),
      this.clock.wait(TIMEOUT_MS).then(() => late),
    ]);
    over = true;
    this.onSlow(false);
    return answer === late ? { status: 'timeout', body: null } : answer;
  }

  // To Zendesk itself, in the agent's own session.
  zendesk(type, url, data) {
    const body = data === undefined ? {} : { contentType: 'application/json', data: JSON.stringify(data) };
    return this.request({ type, url, ...body });
  }

  // Through Zendesk's proxy, which alone knows the token.
  outside(type, url, data, headers = {}) {
    const body = data === undefined ? {} : { contentType: 'application/json', data: JSON.stringify(data) };
    return this.request({
      type, url, ...body, secure: true, cors: false,
      headers: { Authorization: 'Bearer {{setting.token}}', Accept: 'application/json', ...headers },
    });
  }

  async get(...paths) {
    try {
      return await this.client.get(paths);
    } catch {
      return {};
    }
  }

  async invoke(...words) {
    try {
      const result = await this.client.invoke(...words);
      return Object.keys(result?.errors ?? {}).length === 0;
    } catch {
      return false;
    }
  }

  async settings() {
    return (await this.client.metadata())?.settings ?? {};
  }

  async ticketId() {
    return (await this.client.context())?.ticketId;
  }

  on(event, handler) {
    this.client.on(event, handler);
  }
}

function taken(body) {
  return { status: 200, body: parsed(body) };
}

// What the SDK rejects with looks like jQuery's request.
function refused(reply) {
  const body = reply?.responseJSON ?? parsed(reply?.responseText);
  return { status: Number(reply?.status) || 0, body };
}

function parsed(body) {
  if (typeof body !== 'string') return body ?? null;
  try {
    return JSON.parse(body);
  } catch {
    return null;
  }
}
