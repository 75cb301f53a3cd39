// Every page, file, fragment, form and address that the portal lists, looked at.
import assert from 'node:assert/strict';
import { PASSWORD } from '../harness.mjs';
import { NEEDLES, PAYLOADS, bare, text } from './texts.mjs';
import { ROUTES, abroad, find, labels, look, note, routeOf, source, state, submit, visit } from './watch.mjs';
import { atMicrosoft, person, share } from './world.mjs';
import { AUDITOR, query } from './build.mjs';

const ENTRA = '/settings/integrations/entra';

const SECTIONS = [...source('section.rs').matchAll(/word: "([a-z-]+)"/g)].map(m => m[1]);
const isFile = path => /\.(csv|ndjson|cer|json|zip|pdf)$/.test(path);
const isStream = path => path.endsWith('/events');
/** Routes that another browser looks at, or that lead to Microsoft. */
const ELSEWHERE = /^\/(api|static|healthz|setup|sign-in|invitations|consent\/|contact\/|prove\/provider|settings\/organisation\/logo)/;

export async function everything(tabs, at) {
  const [page] = tabs;
  const done = new Set();
  const one = path => async tab => {
    if (done.has(path)) return;
    done.add(path);
    if (isFile(path.split('?')[0])) await file(tab, path);
    else await visit(tab, path);
  };
  const parts = ['', '/edit', '/users', '/groups', '/secure-score', '/secure-score?status=all', '/evidence', '/reports', '/users.csv', ...SECTIONS.map(word => `/directory/${word}`)];
  await share(tabs, [
    ...ROUTES.filter(route => route.method === 'get' && !route.gaps && !ELSEWHERE.test(route.path)).map(route => one(route.path)),
    ...[at.F, at.C, at.B].flatMap(company => parts.map(part => one(company + part))),
  ]);
  const names = new Set();
  for (let n = 1; n <= 5; n += 1) {
    await one(`${at.F}/users?page=${n}`)(page);
    for (const found of await page.locator('tbody .c-main a').allTextContents()) NEEDLES.forEach((needle, i) => { if (bare(found).includes(needle)) names.add(i); });
  }
  assert.equal(names.size, 200, 'all of them are names of users');
  // What is linked from there: so many of each kind.
  const counts = new Map();
  const most = route => ({ '/companies/{id}/users/{object}': 15, '/companies/{id}/secure-score/{control}': 15, '/jobs/{id}': 8 }[route.path] ?? 3);
  for (let found = true; found;) {
    const round = [];
    for (const [path, queries] of state.links) {
      const route = routeOf('get', path);
      if (!route || ELSEWHERE.test(route.path)) continue;
      const word = path.match(/\/directory\/([^/]+)/)?.[1] ?? '';
      for (const href of [path, ...queries]) {
        const key = `${route.path} ${word} ${href === path ? '' : '?'}`;
        const count = counts.get(key) ?? 0;
        if (done.has(href) || count >= (word ? 2 - (href !== path) : most(route))) continue;
        counts.set(key, count + 1);
        round.push(one(href));
      }
    }
    await share(tabs, round);
    found = round.length > 0;
  }
}

/** Exports: text, to be kept and not shown. */
async function file(page, path) {
  const answer = await page.context().request.get(state.root + path);
  const { 'content-type': kind, 'content-disposition': how, 'x-content-type-options': sniff } = answer.headers();
  note('get', path.split('?')[0], answer.status());
  labels.set(page, path);
  if (answer.status() !== 200 || !/^(text\/csv|application\/x-ndjson|application\/x-x509-ca-cert|application\/(json|zip|pdf)$)/.test(kind) || !/^attachment; filename="[\w.-]+"$/.test(how) || sniff !== 'nosniff') {
    find(page, `a file as ${answer.status()} ${kind}, ${how}, ${sniff}`);
  }
}

/** Names of what a page's handler reads from its address, as its source has them: texts, and others. */
function parameters(route) {
  let text_ = '';
  try { text_ = source(`pages/${route.file}.rs`); } catch { /* not a page */ }
  const all = { texts: new Set(['q', 'next', 'error', 'error_description', 'state', 'code', 'scope', 'done']), others: new Set() };
  for (const [, body] of text_.matchAll(/struct (?:\w*Query|Goal|Return)\b[^{]*\{([^}]*)\}/g)) {
    for (const [, name, kind] of body.matchAll(/(\w+): ([\w:<>]+),/g)) (/^(Option<)?String>?$/.test(kind) ? all.texts : all.others).add(name);
  }
  for (const name of all.others) all.texts.delete(name);
  return all;
}

/** Every page with hostile parameters, then with hostile gaps in its path. */
export async function addresses(tabs, at, extra) {
  const paths = [];
  for (const route of ROUTES) {
    if (route.method !== 'get' || ELSEWHERE.test(route.path) || isFile(route.path) || isStream(route.path)) continue;
    const real = [...state.links.keys(), ...extra].filter(path => routeOf('get', path) === route);
    const path = route.gaps ? real.find(one => one.startsWith(at.F)) ?? real[0] : route.path;
    if (!path) continue;
    const { texts, others } = parameters(route);
    const hostile = names => [...names].map(name => [name, text(`query.${name}`)]);
    paths.push(`${path}?${query(hostile(texts))}`);
    if (others.size) paths.push(`${path}?${query(hostile([...texts, ...others]))}`);
  }
  for (const word of SECTIONS) paths.push(`${at.F}/directory/${word}?${query({ q: text('query.q'), sort: text('query.sort'), desc: text('query.desc') })}`);
  for (const route of ROUTES) {
    if (route.method !== 'get' || !route.gaps || /^\/api/.test(route.path)) continue;
    const gaps = [...route.path.matchAll(/\{[^}]+\}/g)].map(m => m[0]);
    const real = [...state.links.keys()].find(path => routeOf('get', path) === route);
    for (const gap of gaps) {
      // With the other gaps as they are, so that it is reached.
      const parts = (real ?? route.path.replace(/\{[^}]+\}/g, 'x')).split('/');
      parts[route.path.split('/').indexOf(gap)] = encodeURIComponent(text(`path.${route.path}`, 1500));
      paths.push(parts.join('/'));
    }
  }
  for (const raw_ of ['%C0%BCscript%C0%BE__ran(0)%C0%BC/script%C0%BE', '%3Csvg%00onload=__ran(0)%3E', '%FF%FE<svg/onload=__ran(0)>', '"><svg/onload=__ran(0)>', '%u003csvg/onload=__ran(0)%u003e', '%253Csvg onload=__ran(0)%253E', '%0d%0a%0d%0a<svg/onload=__ran(0)>']) {
    paths.push(`/companies?q=${raw_}`);
    paths.push(`/${raw_}`);
  }
  paths.push(`/companies?q=x#${encodeURIComponent(PAYLOADS[0])}`);
  await share(tabs, paths.map(path => tab => visit(tab, path)));
}

/** All 200 in a search, and all 200 in a form that comes back with an error. */
export async function all([one, other]) {
  const shown = { query: new Set(), form: new Set() };
  await visit(other, '/companies/new');
  await Promise.all([
    (async () => {
      for (const [n, payload] of PAYLOADS.entries()) if ((await visit(one, `/companies?${query({ q: payload })}`)).shown.includes(n)) shown.query.add(n);
    })(),
    (async () => {
      for (const [n, payload] of PAYLOADS.entries()) if ((await submit(other, '/companies', { name: payload, domain: `${payload}/`, external_id: payload })).shown.includes(n)) shown.form.add(n);
    })(),
  ]);
  assert.deepEqual([shown.query.size, shown.form.size], [200, 200], 'all of them come back as text');
}

/** Forms that come back with what was typed. */
export async function forms(page, at, found) {
  const { credential } = found;
  const remap = [...state.links.keys()].find(path => path.endsWith('/remap'));
  const member = [...state.links.keys()].find(path => /^\/settings\/members\/[^/]{30,}$/.test(path));
  const long = 'x'.repeat(400);
  const [, id] = credential.match(/([^/]+)$/);
  // Mail is switched on late: its permission was not asked for.
  await visit(page, `${credential}/edit`, { stir: false });
  await page.locator('input[name=feature][value=mail]').check();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('#mail_from').waitFor();
  await look(page, { stir: false });
  for (const [path, action, field = '*', button] of [
    ['/companies/import'], [`${at.F}/edit`, at.F], ['/settings/organisation'], ['/settings/members/new', '/settings/members'], [member],
    ['/settings/sign-in/new', '/settings/sign-in'], ['/account', '/account/tokens'], ['/account', '/account/password'], ['/account/authenticator-app'],
    [`${ENTRA}/credentials/new`, `${ENTRA}/credentials`], [`${credential}/edit`, credential], [`${credential}/secrets/new`, `${credential}/secrets`],
    [credential, `${credential}/consent`], [credential, `${credential}/links`], [credential, `${credential}/discoveries`, 'domains'], [credential, `${credential}/mail`],
    [`${ENTRA}/mappings/match?credential=${id}`, `${ENTRA}/mappings/match`, '*', ['action', 'add']], [remap], ['/prove?next=/', '/prove'],
  ]) {
    for (const every of [false, true]) {
      await visit(page, path, { stir: false });
      await submit(page, action ?? path.split('?')[0], { [field]: `${text('form')}${every ? '' : long}` }, { every, button });
    }
  }
  // Pairs that are suggested and taken, names that clash.
  await visit(page, `${ENTRA}/mappings/match?credential=${id}`, { stir: false });
  await page.getByRole('button', { name: /^Take the suggestion/ }).first().click();
  await page.getByText('1 chosen').waitFor();
  labels.set(page, `${ENTRA}/mappings/match, a pair taken`);
  await look(page);
  await visit(page, `${ENTRA}/mappings/import?credential=${id}`, { stir: false });
  await page.locator('input[name=tenant]').first().check();
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByRole('heading', { level: 1, name: 'Review import' }).waitFor();
  const name = await page.locator('input[name^="name."]').getAttribute('name');
  await submit(page, `${ENTRA}/mappings/import`, { [name]: `${PAYLOADS[0]} ⟦company.name⟧`, [name.replace('name', 'choice')]: text('form.choice') }, { every: true });
  await page.getByText('Nothing was saved').waitFor();
  await page.getByText('Map to existing').first().waitFor({ state: 'attached' });
}

/** Who was invited, with a passkey and a browser of a hostile name; who comes by the provider; strangers. */
export async function others(browser, found) {
  const { stranger, invitations, provider, open } = found;
  const page = await person(browser, { userAgent: PAYLOADS[7].trim() });
  await visit(page, invitations[0], { stir: false });
  await submit(page, invitations[0], { password: 'short' });
  await submit(page, invitations[0], { password: PASSWORD });
  assert.equal(new URL(page.url()).pathname, '/');
  const client = await page.context().newCDPSession(page);
  await client.send('WebAuthn.enable');
  await client.send('WebAuthn.addVirtualAuthenticator', { options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true } });
  await visit(page, '/account/passkeys/new', { stir: false });
  await page.getByLabel('Name').fill(text('passkey.name', 60));
  await page.getByRole('button', { name: 'Add a passkey' }).click();
  await page.getByRole('heading', { level: 1, name: 'Recovery codes' }).waitFor();
  await look(page, { stir: false });
  for (const path of ['/account', '/account/passkeys/new', `/prove?${query({ next: text('query.next') })}`, '/settings/audit', '/settings/members', '/settings/members/new', '/companies/new']) await visit(page, path);
  await visit(page, '/account', { stir: false });
  await page.evaluate(() => HTMLFormElement.prototype.submit.call(document.querySelector('form[action="/sign-out"]')));
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
  await submit(page, '/sign-in', { email: AUDITOR, password: PASSWORD });
  await page.getByRole('heading', { level: 1, name: 'Second factor' }).waitFor();
  await visit(page, '/sign-in/second-factor');
  await submit(page, '/sign-in/second-factor', { recovery_code: text('form.recovery_code') });

  // Nobody, then who comes by the provider.
  const { texts } = parameters({ file: 'sign_in' });
  for (const path of ['/setup', '/sign-in', '/sign-in/passkey', '/sign-in/second-factor', invitations[1], '/invitations/x', open, '/consent/links/x', '/consent/callback', `/sign-in/callback/${provider}`,
    '/static/js/app.js', '/static/icons.svg', '/static/x', '/healthz', '/api/v1/openapi.json', '/api/v1/companies', '/companies', '/no-such-page']) {
    await visit(stranger, path, { stir: path !== '/static/icons.svg' });
    await visit(stranger, `${path}?${query([...texts, 'token', 'partner', 'email', 'tenant'].map(name => [name, text(`query.${name}`)]))}`);
    await visit(stranger, `${path}?${query(['state', 'state', 'next', 'next'].map(name => [name, text(`query.${name}`)]))}`);
  }
  for (let i = 0; i < 3; i += 1) {
    await visit(stranger, '/sign-in', { stir: false });
    await submit(stranger, '/sign-in', { '*': text('form.sign-in') }, { every: i > 1 });
  }
  abroad.add(stranger);
  for (const path of [`${invitations[1]}/providers/${provider}`, `/sign-in/providers/${provider}?${query({ next: text('query.next') })}`]) {
    await stranger.goto(state.root + path);
  }
  await visit(stranger, invitations[1], { stir: false });
  await submit(stranger, invitations[1], { password: text('form.password') });
  await visit(stranger, '/sign-in', { stir: false });
  await stranger.locator(`a[href^="/sign-in/providers/${provider}"]`).click();
  await atMicrosoft(stranger, `${found.main.tenant}/admin`, 'Sign in');
  assert.equal(new URL(stranger.url()).pathname, '/');
  for (const path of ['/', '/account', '/prove?next=/account']) await visit(stranger, path);
  await stranger.goto(`${state.root}/prove/provider?next=/account`);
  await atMicrosoft(stranger, `${found.main.tenant}/admin`, 'Sign in');
}

/** The API as a browser shows it that opens its addresses: JSON, and never a page. */
export async function api(browser, found) {
  const page = await person(browser, { extraHTTPHeaders: { authorization: `Bearer ${found.token}` } });
  const known = [...state.links.keys()];
  const ids = pattern => [...new Set(known.flatMap(path => path.match(pattern)?.[1] ?? []))];
  const gaps = {
    companies: () => [found.at.F, found.at.C].map(path => path.split('/')[2]),
    credentials: () => ids(/\/credentials\/([0-9a-f-]{36})/), tenants: () => ids(/\/tenants\/([0-9a-f-]{36})/), mappings: () => ids(/\/mappings\/([0-9a-f-]{36})/),
    runs: () => ids(/^\/jobs\/([0-9a-f-]{36})/), 'consent-requests': () => ids(/^\/consents\/([0-9a-f-]{36})/),
    groups: at => ids(new RegExp(`^/companies/${at.match(/companies\/([^/]+)/)[1]}/groups/([^/]+)$`)),
    evidence: () => ids(/\/evidence\/([0-9a-f-]{36})/), alerts: () => ids(/^\/alerts\/([0-9a-f-]{36})/), assessments: () => ids(/^\/assessments\/([0-9a-f-]{36})/),
    channels: () => ids(/\/notifications\/([0-9a-f-]{36})/), intakes: () => ids(/\/exports\/([0-9a-f-]{36})/), members: () => ids(/^\/settings\/members\/([0-9a-f-]{36})/),
    users: at => ids(new RegExp(`^/companies/${at.match(/companies\/([^/]+)/)[1]}/users/([^/]+)$`)),
    reports: () => [new Date(Date.now() - 40 * 86400000).toISOString().slice(0, 7)],
    directory: () => SECTIONS,
    section: at => ids(new RegExp(`^/companies/${at.match(/companies\/([^/]+)/)[1]}/directory/${at.split('/').at(-1)}/([^/]+)$`)),
  };
  for (const route of ROUTES.filter(one => one.method === 'get' && one.path.startsWith('/api/'))) {
    let paths = [''];
    const parts = route.path.split('/').slice(1);
    for (const [i, part] of parts.entries()) {
      if (!part.startsWith('{')) { paths = paths.map(path => `${path}/${part}`); continue; }
      const fill = gaps[parts[i - 1].replace(/[{}]/g, '')];
      assert.ok(fill, `no way to fill ${route.path}`);
      paths = paths.flatMap(path => fill(path).slice(0, part === '{section}' ? 50 : 2).map(id => `${path}/${id}`));
    }
    if (paths.length > 1 && !route.path.includes('{section}')) paths = paths.slice(0, 3);
    // Links are a credential's.
    if (route.path === '/api/v1/consent-links') paths = gaps.credentials().slice(0, 2).map(id => `${route.path}?credential_id=${id}`);
    // Files and streams, which a browser keeps and does not show.
    if (/\/(archive|ocsf-events)$|\/reports\//.test(route.path)) {
      for (const path of paths) {
        const answer = await page.context().request.get(state.root + path);
        note('get', path, answer.status());
        if (!/^application\/(zip|pdf|x-ndjson)$/.test(answer.headers()['content-type'])) { labels.set(page, path); find(page, `a file as ${answer.status()} ${answer.headers()['content-type']}`); }
      }
      continue;
    }
    for (const path of paths) {
      const { shown } = await visit(page, path);
      if (!await page.evaluate(() => /^application\/(problem\+)?json$/.test(document.contentType))) find(page, 'not JSON');
      if (route.path === '/api/v1/companies' && !shown.length) find(page, 'shows none');
    }
    await visit(page, `${paths[0].split('?')[0]}?${query(['q', 'limit', 'cursor', 'page', 'state', 'sort'].map(name => [name, text(`query.${name}`)]))}`);
    if (route.gaps) await visit(page, route.path.replace(/\{[^}]+\}/g, () => encodeURIComponent(text('path.api', 1500))));
  }
}
