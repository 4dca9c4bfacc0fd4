// The ticket, read and written with the agent's own session, so that Zendesk vouches for
// who asked. Reads what is saved, not what stands in the window.

export const REQUEST = 'license_request';
export const QUEUED = 'license_queued';
const MARKS = [QUEUED, 'license_sent'];
const OTHERS_MAX = 5;

export class Ticket {
  // fields: {users, plan, expiredOn}: ids of the ticket fields
  constructor(sdk, fields) {
    Object.assign(this, { sdk, fields });
  }

  // {ok: {…}} or {fault: answer}
  async read(id) {
    const answer = await this.sdk.zendesk('GET', `/api/v2/tickets/${id}.json?include=users`);
    const ticket = answer.body?.ticket;
    if (answer.status !== 200 || !ticket) return { fault: answer };
    const user = (answer.body.users ?? []).find((u) => u.id === ticket.requester_id);
    return {
      ok: {
        id: ticket.id,
        closed: ticket.status === 'closed',
        tags: ticket.tags ?? [],
        requesterId: ticket.requester_id,
        email: String(user?.email ?? ''),
        name: String(user?.name ?? ''),
        users: this.value(ticket, 'users'),
        plan: this.value(ticket, 'plan'),
        expiredOn: this.value(ticket, 'expiredOn').slice(0, 10),
      },
    };
  }

  value(ticket, name) {
    const field = (ticket.custom_fields ?? []).find((f) => String(f.id) === this.fields[name]);
    return String(field?.value ?? '');
  }

  // changes: {users, plan, expiredOn}, and if wanted {note, requesterId}
  write(id, changes) {
    const field = (name, value) => ({ id: Number(this.fields[name]), value: value || null });
    const ticket = {
      custom_fields: [
        field('users', Number(changes.users)),
        field('plan', changes.plan.trim()),
        field('expiredOn', changes.expiredOn),
      ],
    };
    if (changes.requesterId) ticket.requester_id = changes.requesterId;
    if (changes.note) ticket.comment = { body: changes.note, public: false };
    return this.sdk.zendesk('PUT', `/api/v2/tickets/${id}.json`, { ticket });
  }

  // What the trigger waits for. Adds; the other tags stay.
  ask(id) {
    return this.sdk.zendesk('PUT', `/api/v2/tickets/${id}/tags.json`, { tags: [REQUEST] });
  }

  async tags(id) {
    const answer = await this.sdk.zendesk('GET', `/api/v2/tickets/${id}/tags.json`);
    return answer.body?.tags ?? null;
  }

  // {ok: user or null} or {fault}
  async findUser(email) {
    const query = encodeURIComponent(`type:user email:"${email}"`);
    const answer = await this.sdk.zendesk('GET', `/api/v2/users/search.json?query=${query}`);
    if (answer.status !== 200) return { fault: answer };
    const same = (u) => String(u.email).toLowerCase() === email.toLowerCase();
    return { ok: (answer.body?.users ?? []).find(same) ?? null };
  }

  // Ids of the requester's other tickets that asked for a license, the newest first.
  async others(id, requesterId) {
    const url = `/api/v2/users/${requesterId}/tickets/requested.json?sort_by=updated_at&sort_order=desc`;
    const answer = await this.sdk.zendesk('GET', url);
    return (answer.body?.tickets ?? [])
      .filter((t) => t.id !== id && (t.tags ?? []).some((tag) => MARKS.includes(tag)))
      .slice(0, OTHERS_MAX)
      .map((t) => t.id);
  }
}
