// Zendesk's window as an app's SDK sees it: what the SDK posts and what it waits for. What
// is not of that form is a fault, which ends the test. settings, ticket and what requests
// answer come from the test.
'use strict';

const GUID = '2f1c6f5e-app';
const ACTIONS = ['resize', 'ticket.editor.insert', 'comment.appendText', 'notify'];
const frame = document.getElementById('app');
const listened = new Set();
window.said = { faults: [], invoked: [], inserted: [] };

function fault(text) {
  window.said.faults.push(text);
}

window.open_app = async (origin, scheme) => {
  window.world = await window.hostWorld();
  frame.src = `${origin}/assets/iframe.html?origin=${encodeURIComponent(location.origin)}`
    + `&app_guid=${GUID}&colorScheme=${scheme}`;
  window.appOrigin = origin;
};

window.tell_app = (key, message) => {
  if (listened.has(key)) post({ key: `zaf.${key}`, message });
};

function post(message) {
  frame.contentWindow.postMessage(JSON.stringify(message), window.appOrigin);
}

window.addEventListener('message', async (event) => {
  if (event.source !== frame.contentWindow || event.origin !== window.appOrigin) return;
  if (typeof event.data !== 'string') return fault('a message that is no text');
  const data = JSON.parse(event.data);
  if (data.appGuid !== GUID) return fault(`a message of ${data.appGuid}`);
  if (data.request) return answer(data);
  const [kind, ...rest] = data.key.split(':');
  if (data.key === 'iframe.handshake') {
    return post({ key: 'zaf.app.registered', message: {
      metadata: { appId: 1, installationId: 2, settings: window.world.settings },
      context: { product: 'support', location: 'ticket_sidebar', ticketId: window.world.ticketId,
        account: { subdomain: 'vendor' } } } });
  }
  if (kind === 'iframe.on') return listened.add(rest.join(':'));
  if (kind === 'request') return request(data.key, data.message);
  return fault(`unknown message ${data.key}`);
});

function answer({ id, request: name, params }) {
  const result = { errors: {} };
  if (name === 'get') {
    for (const path of params) {
      if (path in window.world.values) result[path] = window.world.values[path];
      else result.errors[path] = { name: 'Error', message: 'No such Api', path };
    }
    return post({ id, result });
  }
  if (name !== 'invoke') return fault(`unknown request ${name}`);
  for (const [action, words] of Object.entries(params)) {
    if (!ACTIONS.includes(action)) return fault(`unknown action ${action}`);
    window.said.invoked.push(action);
    if (window.world.refuses.includes(action)) {
      return post({ id, error: { name: 'Error', message: 'not here', path: action } });
    }
    if (action === 'resize') frame.style.height = words[0].height;
    else window.said.inserted.push(words[0]);
  }
  return post({ id, result });
}

async function request(key, options) {
  const reply = await window.hostRequest(options);
  post({ key: `zaf.${key}.${reply.ok ? 'done' : 'fail'}`, message: { responseArgs: [reply.body] } });
}
