// Small makers of page elements. Text only ever becomes a text node; foreign text stands
// in <bdi>, so that its direction stays its own.

// attributes: properties of the element by name; aria-… and data-… as they are.
export function el(tag, attributes = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith('on')) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? '' : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

export function bdi(text) {
  return el('bdi', { dir: 'auto' }, text);
}

// Children that say a text, its values set apart.
export function said(texts, key, values) {
  return texts.parts(key, values).map((part) => ('text' in part ? part.text : bdi(part.value)));
}

export function button(texts, name, press, kind = '') {
  return el('button', { type: 'button', id: `b-${name}`, class: `button ${kind}`, onclick: press },
    texts.say(`button.${name}`));
}

export function link(label, url) {
  return url && el('p', {}, el('a', { id: `a-${url}`, href: url, target: '_blank', rel: 'noopener noreferrer' }, label));
}

// A label, its input, a hint and a place for its fault. mark(fault) shows one, or none.
export function field(label, hint, input) {
  const id = input.id;
  const message = el('p', { id: `${id}-fault`, class: 'message', hidden: true });
  const help = hint && el('p', { id: `${id}-hint`, class: 'hint' }, hint);
  input.setAttribute('aria-describedby', [help && help.id, message.id].filter(Boolean).join(' '));
  const node = el('div', { class: 'field' }, el('label', { for: id }, label), help, input, message);
  return {
    node,
    mark(fault) {
      message.hidden = !fault;
      message.textContent = fault ?? '';
      input.classList.toggle('wrong', Boolean(fault));
      if (fault) input.setAttribute('aria-invalid', 'true');
      else input.removeAttribute('aria-invalid');
    },
  };
}

// Replaces what is in `place`; what had the focus has it again, if it is still there.
export function replace(place, nodes) {
  const focused = place.contains(document.activeElement) ? document.activeElement.id : '';
  place.replaceChildren(...nodes.filter(Boolean));
  if (focused) document.getElementById(focused)?.focus();
}
