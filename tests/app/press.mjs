// The app without its page, against servers that speak HTTP: what an agent does, and what
// the app then shows, as one line of JSON. For tests/integration/test_app_chain.py.
//
//   node press.mjs '{"zendesk": URL, "login": BASIC, "receiver": URL, "token": …, "ticket": N,
//                    "fields": {users, plan, expiredOn}, "presses": [{name, form}, …],
//                    "speed": 1}'
import { readFileSync } from 'node:fs';
import { Flow } from '../../zendesk-app/assets/flow.js';
import { Sdk } from '../../zendesk-app/assets/sdk.js';
import { Status } from '../../zendesk-app/assets/status.js';
import { Texts } from '../../zendesk-app/assets/texts.js';
import { Ticket } from '../../zendesk-app/assets/ticket.js';

const how = JSON.parse(process.argv[2]);
const en = JSON.parse(readFileSync(new URL('../../zendesk-app/translations/en.json', import.meta.url)));
const ENDS = ['done', 'failed', 'duplicate', 'notsent', 'broken', 'closed'];

// Zendesk's part of client.request: the agent's session here, the proxy's secret there.
async function request({ type, url, data, headers = {}, contentType, secure }) {
  const sent = { ...headers, ...(contentType ? { 'Content-Type': contentType } : {}) };
  if (secure) sent.Authorization = headers.Authorization.replace('{{setting.token}}', how.token);
  else sent.Authorization = how.login;
  const answer = await fetch(secure ? url : how.zendesk + url, { method: type, headers: sent, body: data });
  const responseText = await answer.text();
  if (!answer.ok) throw { status: answer.status, responseText };
  return responseText;
}

const begun = Date.now();
const at = (speed) => ({ // one second of waiting takes 1/speed
  now: () => begun + (Date.now() - begun) * speed,
  wait: (ms) => new Promise((done) => { setTimeout(done, ms / speed).unref(); }),
});
const clock = at(how.speed);
const seen = [];
const sdk = new Sdk({ request }, at(1));
const flow = new Flow({
  texts: new Texts(en.ui), clock, ticket: new Ticket(sdk, how.fields), status: new Status(sdk, how.receiver),
  insert: async () => true, unsaved: async () => false, ticketId: how.ticket,
  agent: { email: 'app@vendor.example', name: 'App' }, contact: '', show: () => {},
});
flow.show = (state) => {
  if (seen.at(-1) !== state.screen) seen.push(state.screen);
};

const alive = setInterval(() => {}, 1000); // the waits alone do not keep it running
await flow.start();
for (const press of how.presses) {
  for (const [name, value] of Object.entries(press.form ?? {})) flow.edit(name, value);
  await flow[press.name]();
}
clearInterval(alive);
console.log(JSON.stringify({ ended: ENDS.includes(flow.state.screen), screen: flow.state.screen, seen,
  job: flow.state.job, faults: flow.state.faults, trouble: flow.state.trouble }));
