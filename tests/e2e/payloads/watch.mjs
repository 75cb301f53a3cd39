// What is watched while a browser goes about: scripts that run, dialogs, requests, elements.
import { readFileSync } from 'node:fs';
import { PASSWORD } from '../harness.mjs';
import { NEEDLES, PAYLOADS } from './texts.mjs';

export const source = name => readFileSync(new URL(`../../../crates/portal/src/${name}`, import.meta.url), 'utf8');

export const findings = [];
export const state = { pages: 0, shown: new Map(), kinds: new Set(), links: new Map(), routes: new Map(), root: '', microsoft: '' };
export const labels = new WeakMap();
/** Pages that are on their way through Microsoft's. */
export const abroad = new WeakSet();

export function find(page, what) {
  const label = labels.get(page) ?? page?.url();
  const number = what.match(/(?:__ran\(|data-hole="?|alert\(|payload )(\d+)/)?.[1];
  findings.push(`${label}: ${what}${number === undefined ? '' : `\n    payload ${number}: ${JSON.stringify(PAYLOADS[number])}`}`);
}

export async function watch(context) {
  await context.exposeBinding('__ran', ({ page }, n) => find(page, `the script of payload ${n} ran`));
  await context.exposeBinding('__breach', ({ page }, what) => find(page, `policy violation ${what}`));
  await context.addInitScript(() => addEventListener('securitypolicyviolation', e => globalThis.__breach?.(`${e.violatedDirective} ${e.blockedURI} ${e.sample}`), true));
  context.on('page', page => {
    page.on('dialog', async dialog => { find(page, `dialog ${dialog.type()} payload ${dialog.message()}`); await dialog.dismiss().catch(() => {}); });
    page.on('popup', popup => find(page, `opened ${popup.url()}`));
    page.on('download', download => find(page, `download of ${download.url()}`));
    page.on('request', request => {
      const { origin, protocol } = new URL(request.url());
      if (protocol === 'about:' || origin === state.root || (abroad.has(page) && origin === state.microsoft)) return;
      find(page, `request for ${request.url().slice(0, 300)}`);
    });
    page.on('framenavigated', frame => {
      if (frame !== page.mainFrame() || !frame.url()) { find(page, `a frame at ${frame.url().slice(0, 300)}`); return; }
      const { origin, protocol } = new URL(frame.url());
      if (!/^(about|chrome-error):$/.test(protocol) && origin !== state.root && !(abroad.has(page) && origin === state.microsoft)) find(page, `went to ${frame.url().slice(0, 300)}`);
    });
    page.on('console', message => { if (message.type() === 'error' && !/status of 4\d\d/.test(message.text())) find(page, `console: ${message.text().slice(0, 400)}`); });
    page.on('pageerror', error => find(page, `error of script: ${error}`));
    page.on('response', response => {
      const url = new URL(response.url());
      if (url.origin !== state.root) return;
      const headers = response.headers();
      if (response.status() >= 500) find(page, `answered ${response.status()}`);
      if (headers['x-content-type-options'] !== 'nosniff') find(page, `no nosniff at ${url.pathname}`);
      if (headers['content-type']?.startsWith('text/html') && !/script-src 'self'; style-src 'self'/.test(headers['content-security-policy'] ?? '')) find(page, `no policy at ${url.pathname}`);
      note(response.request().method(), url.pathname, response.status());
    });
  });
}

/** All routes of the portal, those with fewest gaps first. */
export const ROUTES = [...source('routes.rs').matchAll(/^ {4}(get|post|patch|delete|put) "([^"]+)" \w+(?:\(\w+\))?, (?:\w+::)?(\w+)::\w+;/gm)]
  .map(([, method, path, file_]) => ({ method, path, file: file_, gaps: (path.match(/\{/g) ?? []).length,
    pattern: new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/\{\w+:\\\.\*\}/g, '.*').replace(/\{\w+\}/g, '[^/]+')}$`) }))
  .sort((a, b) => a.gaps - b.gaps);
export const routeOf = (method, path) => ROUTES.find(route => route.method === method.toLowerCase() && route.pattern.test(path));

export function note(method, path, status) {
  const route = routeOf(method, path);
  if (!route) return;
  const key = `${route.method} ${route.path}`;
  if (!state.routes.has(key)) state.routes.set(key, new Set());
  state.routes.get(key).add(status);
}

/** Looks for what became markup, in the page itself, then moves a pointer over everything. */
function search({ needles, elsewhere, stir }) {
  const bad = [];
  if (document.contentType !== 'text/html') {
    // As a browser shows text and JSON, with an element of its own around it.
    if (document.querySelector('[data-hole], x-hole')) bad.push(`element in ${document.contentType}`);
    const text = (document.documentElement?.textContent ?? '').replace(/\\[nrtu"\\][0-9a-f]{0,4}|[\s\p{Cc}\p{Cf}\ufffd]+/giu, '').toLowerCase();
    return { bad, kinds: [], shown: needles.flatMap((needle, n) => (text.includes(needle) ? [n] : [])), links: [] };
  }
  const say = (what, e) => bad.push(`${what}: ${(e.outerHTML ?? e.data ?? '').slice(0, 300)}`);
  const never = new Set(['iframe', 'frame', 'frameset', 'object', 'embed', 'applet', 'base', 'portal', 'marquee', 'math', 'audio', 'video', 'source', 'style', 'image',
    'foreignobject', 'animate', 'set', 'x-hole', 'plaintext', 'xmp', 'listing', 'img', 'area', 'dialog', 'hx-partial', 'noembed']);
  const addresses = new Set(['href', 'src', 'action', 'formaction', 'data', 'poster', 'cite', 'xlink:href', 'srcset', 'hx-get', 'hx-post', 'hx-sse:connect', 'manifest']);
  if (document.baseURI !== location.href) bad.push(`base ${document.baseURI}`);
  const texts = [];
  for (const e of document.querySelectorAll('*')) {
    const tag = e.localName.toLowerCase();
    if (never.has(tag)) say('element', e);
    if (tag === 'script' && (e.text || !/^\/static\/js\//.test(e.getAttribute('src') ?? ''))) say('script', e);
    if (tag === 'meta' && e.httpEquiv && !elsewhere) say('meta', e);
    for (const { name, value } of e.attributes) {
      if (!/^[a-z][a-z0-9:._-]*$/i.test(name) || /^on|^hx-on|^(style|srcdoc|ping|background|data-hole|formaction|is)$/i.test(name)) say(`attribute ${name}`, e);
      if (addresses.has(name)) {
        let to;
        try { to = new URL(value, document.baseURI); } catch { say(`address ${name}`, e); continue; }
        const control = /^\/companies\/[^/]+\/secure-score\/./.test(location.pathname) && tag === 'a' && to.protocol === 'https:';
        if (to.origin !== location.origin && !control && to.origin !== elsewhere) say(`address ${name}`, e);
      }
      if (['value', 'title', 'aria-label', 'placeholder', 'data-copy', 'data-email'].includes(name)) texts.push(value);
    }
    if (typeof e.value === 'string') texts.push(e.value);
  }
  const walker = document.createTreeWalker(document, NodeFilter.SHOW_TEXT | NodeFilter.SHOW_COMMENT);
  while (walker.nextNode()) {
    const node = walker.currentNode;
    if (node.nodeType === Node.COMMENT_NODE) { if (/hole|__ran|evil/.test(node.data)) say('comment', node); } else texts.push(node.data);
  }
  const all = texts.join('\n');
  const kinds = [...new Set(all.match(/⟦[^⟧\n]+⟧/g))].map(kind => kind.slice(1, -1));
  const text = all.replace(/[\s\p{Cc}\p{Cf}\ufffd]+/gu, '').toLowerCase();
  const shown = needles.flatMap((needle, n) => (text.includes(needle) ? [n] : []));
  const links = [...document.querySelectorAll('a[href]')].map(a => a.getAttribute('href')).filter(href => /^\/(?!\/)/.test(href));
  if (stir) {
    addEventListener('click', e => e.preventDefault(), true);
    // Each element hears it itself; what a person can use is also heard by the scripts of the page.
    const used = new Set(document.querySelectorAll('a, button, summary, input, select, textarea, label, [tabindex], [data-copy]'));
    for (const e of document.querySelectorAll('body, body *')) {
      for (const type of ['pointerover', 'mouseover', 'mouseenter', 'focus', 'focusin', 'click']) e.dispatchEvent(new Event(type, { bubbles: used.has(e), cancelable: true }));
    }
  }
  return { bad, kinds, shown, links };
}

/** Looks at the page where it is. `stir` false where somebody goes on using it. */
export async function look(page, { stir = true, elsewhere = '' } = {}) {
  let seen;
  for (let tries = 0; !seen; tries += 1) {
    // A live page may load itself anew just now.
    seen = await page.evaluate(search, { needles: NEEDLES, elsewhere, stir }).catch(error => { if (tries > 2) throw error; });
    if (!seen) await page.waitForLoadState();
  }
  const label = labels.get(page) ?? page.url();
  for (const what of seen.bad) find(page, what);
  if (page.frames().length > 1) find(page, `${page.frames().length} frames`);
  state.pages += 1;
  if (!state.shown.has(label)) state.shown.set(label, new Set());
  for (const n of seen.shown) state.shown.get(label).add(n);
  for (const kind of seen.kinds) state.kinds.add(kind);
  for (const href of seen.links) {
    const path = href.split(/[?#]/)[0];
    if (!state.links.has(path)) state.links.set(path, new Set());
    if (href.includes('?')) state.links.get(path).add(href.split('#')[0]);
  }
  return seen;
}

const label = (page, what) => labels.set(page, decodeURIComponent(what.replace(/%(?![0-9a-f]{2})/gi, '%25')).slice(0, 400));

/** Opens a path, proves who it is where that is asked for, and looks. */
export async function visit(page, path, options) {
  try { label(page, path); } catch { labels.set(page, path); }
  for (let tries = 0; ; tries += 1) {
    const problem = await page.goto(state.root + path).then(() => '', String);
    if (!problem) break;
    if (problem.includes('ERR_HTTP_RESPONSE_CODE_FAILURE')) {
      // An answer without a body, which Chromium replaces with a page of its own.
      while (!await page.goto('about:blank').then(() => true, () => false));
      return { shown: [] };
    }
    // A live page that loads itself anew just then is in the way; what leads elsewhere is noted all the same.
    if (tries > 2 || !/ERR_ABORTED|interrupted by another/.test(problem)) throw new Error(problem);
  }
  if (new URL(page.url()).pathname === '/prove' && !path.startsWith('/prove')) await prove(page);
  return look(page, options);
}

async function prove(page) {
  await page.getByLabel('Your password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Confirm' }).click();
  await page.waitForURL(url => url.pathname !== '/prove');
}

/** Sends a form as it stands on the page, with texts in its fields, and looks at the answer. */
export async function submit(page, action, values, { every = false, button } = {}) {
  const path = new URL(page.url()).pathname;
  const sent = page.evaluate(([to, texts, all, press]) => {
    // A button may be named action.
    const forms = [...document.forms].filter(f => f.getAttribute('method') === 'post' && (new URL(f.getAttribute('action') ?? '', location.href).pathname === to));
    const form = forms.find(f => Object.keys(texts).every(name => name === '*' || f.elements.namedItem(name))) ?? forms[0];
    if (!form) throw new Error(`no form for ${to}`);
    for (const field of form.elements) {
      const value = texts[field.name] ?? texts['*'];
      const kind = field.type;
      if (value === undefined || ['file', 'submit', 'button', 'fieldset', 'checkbox', 'radio'].includes(kind)) continue;
      if (kind === 'select-one') { if (all) { field.add(new Option(value, value)); field.value = value; } continue; }
      if (kind === 'hidden' && !all) continue;
      if (kind !== 'textarea' && kind !== 'hidden') field.type = 'text';
      field.value = value;
    }
    if (press) form.append(Object.assign(document.createElement('input'), { type: 'hidden', name: press[0], value: press[1] }));
    HTMLFormElement.prototype.submit.call(form);
  }, [action, values, every, button]);
  await Promise.all([page.waitForEvent('domcontentloaded'), sent]);
  await page.waitForLoadState();
  labels.set(page, `${action} (form of ${path})`);
  if (new URL(page.url()).pathname === '/prove' && path !== '/prove') await prove(page);
  return look(page);
}
