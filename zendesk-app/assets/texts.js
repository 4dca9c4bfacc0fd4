// Every text of the app, by its dotted key, from the translations file. Values are put in
// as pieces of their own, so that the view can keep foreign text apart from ours.

export class Texts {
  constructor(tree) {
    this.tree = tree;
  }

  // [{text}, {value}, …] of a text with {names} in it.
  parts(key, values = {}) {
    return this.raw(key).split(/(\{\w+\})/).filter(Boolean).map((piece) => {
      const name = /^\{(\w+)\}$/.exec(piece)?.[1];
      return name ? { value: shown(values[name]) } : { text: piece };
    });
  }

  say(key, values = {}) {
    return this.parts(key, values).map((part) => part.text ?? part.value).join('');
  }

  has(key) {
    return this.raw(key) !== key;
  }

  raw(key) {
    const found = key.split('.').reduce((at, name) => at?.[name], this.tree);
    return typeof found === 'string' ? found : key;
  }
}

// Foreign text, with what could turn the reading order or hide made visible.
export function shown(value) {
  return String(value ?? '').replace(
    /[\u0000-\u0008\u000b-\u001f\u007f-\u009f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff]/g, '\ufffd');
}
