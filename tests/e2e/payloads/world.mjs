// An installation and its simulated cloud, and the self-check: unescaped, each payload is noticed.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { binary, start } from '../harness.mjs';
import { PAYLOADS } from './texts.mjs';
import { Cloud } from './cloud.mjs';
import { abroad, findings, labels, look, state, watch } from './watch.mjs';

export async function install() {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-payloads-'));
  const sim = start(['sim', '--sim-listen', '127.0.0.1:0'], [/cloud: (\S+)/, /graph = "(\S+)"/], folder);
  const [behind] = await sim.ready;
  const cloud = new Cloud(behind);
  await cloud.start();
  writeFileSync(join(folder, 'tenantry.toml'),
    `[clouds.custom]\nlabel = "Simulated Microsoft cloud"\nlogin = "${cloud.root}"\ngraph = "${cloud.root}"\nlimits = "none"\n`);
  const where = ['--data-dir', join(folder, 'data'), '--config', 'tenantry.toml'];
  const server = start(['serve', '--listen', '127.0.0.1:0', ...where], [/listens on (\S+)\//, /Set up at: (\S+)/], folder);
  const [root, setup] = await server.ready;
  state.root = new URL(root).origin;
  state.microsoft = new URL(cloud.root).origin;
  const applications = [...sim.output().matchAll(/Tenant ID: (\S+)\nClient ID: (\S+)\nClient secret: (\S+)/g)].map(([, tenant, client, secret]) => ({ tenant, client, secret }));
  const directories = Object.fromEntries([...sim.output().matchAll(/Directory: (\S+) (.+)/g)].map(m => [m[2], m[1]]));
  /** The operator's commands. */
  const operate = (...args) => {
    const done = spawnSync(binary, [...args, ...where], { cwd: folder, encoding: 'utf8' });
    assert.equal(done.status, 0, done.stderr);
    return done.stdout;
  };
  const tell = async (path, form) => {
    const json = typeof form.kind === 'object';
    const answer = await fetch(`${cloud.root}_sim/${path}`, { method: 'POST', body: json ? JSON.stringify(form) : new URLSearchParams(form),
      ...(json ? { headers: { 'content-type': 'application/json' } } : {}) });
    assert.ok(answer.ok, `${path}: ${answer.status}`);
  };
  const calm = () => fetch(`${cloud.root}_sim/faults`, { method: 'DELETE' });
  const end = () => {
    for (const { child } of [server, sim]) { child.removeAllListeners('exit'); child.kill('SIGKILL'); }
    cloud.stop();
    rmSync(folder, { recursive: true, force: true });
  };
  return { cloud, setup, applications, directories, operate, tell, calm, end };
}

export async function person(browser, options = {}) {
  const context = await browser.newContext({ reducedMotion: 'reduce', viewport: { width: 1440, height: 900 }, ...options });
  await watch(context);
  return context.newPage();
}

/** Does all of it in several tabs at a time. */
export async function share(pages, jobs) {
  const left = [...jobs];
  await Promise.all(pages.map(async page => { while (left.length) await left.shift()(page); }));
}

/** Microsoft's page: an account of a directory, then a button; straight through where it knows the person. */
export async function atMicrosoft(page, account, button) {
  await page.waitForLoadState();
  if (new URL(page.url()).origin === state.microsoft) {
    await page.locator(`input[name=account][value="${account}"]`).check();
    await page.getByRole('button', { name: button }).click();
  }
  await page.waitForURL(url => url.origin === state.root);
}

// ------------------------------------------------------------------------------------ the test itself

/** Each payload, unescaped, is noticed. */
export async function noticed(browser) {
  const page = await person(browser);
  const tabs = [page, await page.context().newPage()];
  for (const tab of tabs) abroad.add(tab);
  const policy = (await fetch(`${state.root}/setup`)).headers.get('content-security-policy');
  const missed = [];
  const kinds = { ran: 0, dialog: 0, request: 0, element: 0 };
  const signs = [['ran', / ran$/m], ['dialog', /^raw \d+: dialog/], ['request', /^raw \d+: request/], ['element', /^raw \d+: (element|attribute)/]];
  await share(tabs, [...PAYLOADS.keys()].map(n => async tab => {
    labels.set(tab, `raw ${n}`);
    let all = [];
    // What leads elsewhere may still be under way when the next begins: then once more.
    for (let tries = 0; tries < 2 && !all.length; tries += 1) {
      await tab.goto(`${state.microsoft}/_raw/${n}`, { waitUntil: 'domcontentloaded', timeout: 5000 }).catch(() => {});
      await look(tab).catch(() => {});
      // The page's own script and comment hold it too, which says nothing.
      all = findings.filter(what => what.startsWith(`raw ${n}:`) && !/^raw \d+: (script|comment|console|error)/.test(what));
    }
    if (!all.length) missed.push(PAYLOADS[n]);
    for (const [kind, sign] of signs) kinds[kind] += all.some(what => sign.test(what));
  }));
  labels.set(page, 'raw with policy');
  await page.goto(`${state.microsoft}/_raw/0/${encodeURIComponent(policy)}`);
  await look(page);
  const breaches = findings.filter(what => what.startsWith('raw with policy: policy violation')).length;
  await page.context().close();
  findings.length = 0;
  assert.deepEqual(missed, [], 'unescaped, these are not noticed');
  assert.ok(kinds.ran >= 80 && kinds.dialog >= 2 && kinds.request >= 10 && kinds.element >= 190 && breaches > 0, JSON.stringify({ ...kinds, breaches }));
  Object.assign(state, { pages: 0, shown: new Map(), kinds: new Set(), links: new Map(), routes: new Map() });
  console.log(`noticed when unescaped: 200 of 200 (${kinds.ran} ran, ${kinds.dialog} dialogs, ${kinds.request} asked elsewhere), and ${breaches} policy violations`);
}
