// A browser with the host page and the app, each on an origin of its own, and the real SDK.
import { readFileSync } from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import path from 'node:path';

const SDK_URL = 'https://static.zdassets.com/zendesk_app_framework_sdk/2.0/zaf_sdk.min.js';
const TYPES = { '.html': 'text/html', '.js': 'text/javascript', '.css': 'text/css', '.json': 'application/json', '.png': 'image/png' };
const here = path.dirname(new URL(import.meta.url).pathname);

function serve(folder) {
  const server = http.createServer((request, response) => {
    const file = path.join(folder, path.normalize(new URL(request.url, 'http://x').pathname));
    try {
      const body = readFileSync(file);
      response.writeHead(200, { 'Content-Type': TYPES[path.extname(file)] ?? 'application/octet-stream' });
      response.end(body);
    } catch {
      response.writeHead(404).end();
    }
  });
  return new Promise((done) => { server.listen(0, '127.0.0.1', () => done(server)); });
}

// npm has the SDK in pieces only.
function sdk(folder) {
  const module = (name) => `${JSON.stringify(name)}: function (module, exports, require) {
${readFileSync(path.join(folder, `lib/${name}.js`), 'utf8')}\n}`;
  return `window.ZAFClient = (function () {
    const made = {}, all = {${['index', 'client', 'utils'].map(module).join(',')}};
    function load(name) {
      const key = name.replace('./', '');
      if (!made[key]) { made[key] = { exports: {} }; all[key](made[key], made[key].exports, load); }
      return made[key].exports;
    }
    return load('index');
  })();`;
}

export class Stage {
  static async open(out) {
    const stage = new Stage();
    const require = createRequire(path.resolve(out, 'npm/package.json'));
    stage.axe = readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
    stage.sdk = sdk(path.resolve(out, 'npm/node_modules/zendesk_app_framework_sdk'));
    stage.manifest = JSON.parse(readFileSync(path.join(out, 'app/manifest.json'), 'utf8'));
    stage.servers = [await serve(here), await serve(path.join(out, 'app'))];
    stage.browser = await require('playwright-core').chromium.launch({
      executablePath: process.env.CHROMIUM, args: ['--no-sandbox', '--disable-gpu'] });
    return stage;
  }

  origin(at) {
    const { port } = this.servers[at].address();
    return `http://${at ? '127.0.0.1' : 'localhost'}:${port}`;
  }

  // A page with the app in it, on this world.
  async play(world, { width = 340, scheme = 'light', at } = {}) {
    const context = await this.browser.newContext({ viewport: { width, height: 1200 }, reducedMotion: 'reduce' });
    const page = await context.newPage();
    const errors = [];
    page.on('console', (m) => m.type() === 'error' && !/status of 404|ERR_/.test(m.text()) && errors.push(m.text()));
    page.on('pageerror', (e) => errors.push(String(e)));
    page.on('dialog', (d) => { errors.push(`dialog ${d.message()}`); d.dismiss(); });
    await context.route(SDK_URL, (route) => route.fulfill({ contentType: 'text/javascript', body: this.sdk }));
    await page.exposeFunction('hostWorld', () => world.host);
    await page.exposeFunction('hostRequest', (options) => this.proxy(world, options));
    await page.clock.install({ time: at });
    await page.goto(`${this.origin(0)}/host.html`);
    await page.evaluate(([origin, s]) => window.open_app(origin, s), [this.origin(1), scheme]);
    await page.waitForSelector('#app');
    const frame = await (await page.$('#app')).contentFrame();
    return { page, frame, errors, context };
  }

  // As Zendesk's: outside hosts by the manifest's list only, and only there secrets are put in.
  async proxy(world, options) {
    const outside = /^https?:/.test(options.url);
    const host = outside && new URL(options.url).host;
    if (outside && !this.manifest.domainWhitelist.includes(host)) {
      return { ok: false, body: { status: 403, responseText: 'not a proxyable URI' } };
    }
    if (outside && !(options.secure && options.headers.Authorization === 'Bearer {{setting.token}}')) {
      return { ok: false, body: { status: 401, responseText: '{"error":"no token"}' } };
    }
    try {
      return { ok: true, body: await world.request(options) };
    } catch (reply) {
      return { ok: false, body: reply };
    }
  }

  async close() {
    await this.browser.close();
    for (const server of this.servers) server.close();
  }
}
