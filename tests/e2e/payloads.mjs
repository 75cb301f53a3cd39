// Hostile texts in real Chromium (B23): 200 payloads as names of users, groups, devices, policies,
// applications, licences, tenants and companies, as whatever members type, search for and ask paths for,
// in every page that `crates/portal/src/routes.rs` lists and in the fragments that scripts fetch. None
// may run, open a dialog, lead elsewhere, breach the policy or become an element; all are shown as text.
//
//   node payloads.mjs BINARY [SHOTS_FOLDER]
//
// Between the product and the simulated cloud stands a proxy that replaces the texts which people of a
// directory choose. Each text that goes in names its kind between ⟦ and ⟧, so that kinds which no page
// shows are known. At first the payloads are put unescaped into a page of the test's own, where each of
// them must be noticed: a test that cannot fail proves nothing.
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { shots } from './harness.mjs';
import { ROUTES, findings, labels, state } from './payloads/watch.mjs';
import { install, noticed, person } from './payloads/world.mjs';
import { build, companies, live, settled } from './payloads/build.mjs';
import { addresses, all, api, everything, forms, others } from './payloads/visits.mjs';

const began = Date.now();
const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run', '--disable-background-networking', '--disable-component-update', '--disable-sync',
    '--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost'],
});
let world;
let page;
let failure;
let step = 'start';
const took = async (name, what) => {
  step = name;
  const from = Date.now();
  const answer = await what;
  console.log(`${name}: ${((Date.now() - from) / 1000).toFixed(1)} s, ${state.pages} pages`);
  return answer;
};
try {
  world = await install();
  await took('self-check', noticed(browser));
  page = await person(browser);
  const found = await took('build', build(browser, page, world));
  found.main = world.applications[0];
  await took('first sync', settled(page));
  found.at = await companies(page, found);
  await took('live', live(page, world, found, found.at));
  const tabs = [page, await page.context().newPage()];
  // What is not painted takes no time.
  for (const tab of tabs) await tab.setViewportSize({ width: 900, height: 200 });
  await took('everything', everything(tabs, found.at));
  await took('addresses', addresses(tabs, found.at, [found.credential]));
  await took('all of them', all(tabs));
  await took('forms, others, API', Promise.all([forms(page, found.at, found), others(browser, found), api(browser, found)]));
  for (const route of ROUTES.filter(one => one.method === 'get')) {
    const statuses = [...state.routes.get(`get ${route.path}`) ?? []];
    assert.ok(statuses.some(status => status < 400), `no way to fill ${route.path}: ${statuses}`);
  }
  const shown = new Set([...state.shown.values()].flatMap(one => [...one]));
  assert.equal(shown.size, 200, 'each of them is shown somewhere');
  console.log('not shown', [...world.cloud.kinds].filter(kind => !state.kinds.has(kind)).join(' '));
  console.log('shown', [...state.kinds].join(' '));
} catch (error) {
  failure = error;
  await page?.screenshot({ path: join(shots, 'failed-payloads.png'), fullPage: true }).catch(() => {});
} finally {
  await browser.close();
  world?.end();
}
if (failure) console.error(`failed in ${step} at ${labels.get(page) ?? page?.url()}:`, failure);
if (findings.length) console.error(`${findings.length} findings:\n${[...new Set(findings)].slice(0, 60).join('\n')}`);
if (failure || findings.length) process.exitCode = 1;
else {
  const times = [...state.shown.values()].reduce((sum, one) => sum + one.size, 0);
  console.log(`B23: 200 payloads, ${state.pages} pages, ${times} shown as text: no script ran, no dialog, no policy violation, no element made of one (${Math.round((Date.now() - began) / 1000)} s)`);
}
