// Puts the parts together, and follows what Zendesk's window does: colours and size.

import { Flow } from './flow.js';
import { Sdk } from './sdk.js';
import { Status } from './status.js';
import { Texts } from './texts.js';
import { Ticket } from './ticket.js';
import { View } from './view.js';

const NEEDED = ['receiver_url', 'field_users', 'field_plan', 'field_expired_on'];
const clock = {
  now: () => Date.now(),
  wait: (ms) => new Promise((done) => { setTimeout(done, ms); }),
};

function paint(scheme) {
  document.documentElement.dataset.scheme = scheme === 'dark' ? 'dark' : 'light';
}

async function readTexts(locale) {
  for (const name of [locale, locale.split('-')[0], 'en']) {
    const answer = /^[A-Za-z-]+$/.test(name) && await fetch(`texts/${name}.json`).catch(() => null);
    if (answer?.ok) {
      document.documentElement.lang = name;
      return new Texts(await answer.json());
    }
  }
  return new Texts({});
}

// The iframe is as high as what is in it.
function follow(sdk, place) {
  let height = 0;
  new ResizeObserver(() => {
    const now = Math.ceil(place.getBoundingClientRect().height) + 2;
    if (now === height) return;
    height = now;
    sdk.invoke('resize', { width: '100%', height: `${height}px` });
  }).observe(place);
}

// The newer name of the editor's action first.
async function insert(sdk, text) {
  return await sdk.invoke('ticket.editor.insert', text) || sdk.invoke('comment.appendText', text);
}

async function start(client) {
  let flow = null;
  const sdk = new Sdk(client, clock, (slow) => flow?.set({ slow }));
  const place = document.getElementById('app');
  follow(sdk, place);
  client.on('colorScheme.changed', paint);
  const known = await sdk.get('currentUser.email', 'currentUser.name', 'currentUser.locale', 'colorScheme');
  if (known.colorScheme) paint(known.colorScheme);
  const texts = await readTexts(String(known['currentUser.locale'] ?? 'en'));
  const view = new View(texts, place, document.getElementById('live'));
  const settings = await sdk.settings();
  const fields = { users: settings.field_users, plan: settings.field_plan, expiredOn: settings.field_expired_on };
  for (const name of Object.keys(fields)) fields[name] = String(fields[name] ?? '').trim();
  flow = new Flow({
    texts,
    clock,
    ticket: new Ticket(sdk, fields),
    status: new Status(sdk, String(settings.receiver_url ?? '')),
    insert: (text) => insert(sdk, text),
    unsaved: async (email) => {
      const shown = (await sdk.get('ticket.requester.email'))['ticket.requester.email'];
      return Boolean(shown) && String(shown).toLowerCase() !== email.toLowerCase();
    },
    ticketId: await sdk.ticketId(),
    agent: { email: String(known['currentUser.email'] ?? ''), name: String(known['currentUser.name'] ?? '') },
    contact: String(settings.contact ?? ''),
    show: (state) => view.show(state, flow),
  });
  const names = NEEDED.filter((name) => !String(settings[name] ?? '').trim());
  if (names.length) return flow.set({ screen: 'setup', names });
  client.on('ticket.saved', () => flow.state.screen === 'form' && flow.saved());
  return flow.start();
}

paint(new URLSearchParams(location.search).get('colorScheme')
  ?? (matchMedia('(prefers-color-scheme: dark)').matches ? 'dark' : 'light'));
const client = window.ZAFClient?.init();
if (client) start(client);
