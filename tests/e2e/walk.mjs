// The main job in real Chromium, from the first start: setup, sign-in, credential, Microsoft's page,
// import, mapping, Sync now, live progress, data, deletion. With script and without. Every page is
// checked by axe-core (WCAG 2.2 AA) and for errors of script and policy, in light, dark and narrow.
//
//   node walk.mjs BINARY [SHOTS_FOLDER]
import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';

const [binary, shots = join(dirname(new URL(import.meta.url).pathname), 'shots')] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
const ENTRA = '/settings/integrations/entra';
const PASSWORD = 'a long enough sentence';
mkdirSync(shots, { recursive: true });
let checks = 0;

/** Starts a process and waits until its output holds every pattern. */
function start(args, patterns, folder) {
  const child = spawn(binary, args, { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  let out = '';
  const ready = new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${args[0]} did not start: ${out}`)), 20000);
    child.stdout.on('data', d => {
      out += d;
      const found = patterns.map(p => out.match(p));
      if (found.every(Boolean)) { clearTimeout(timer); resolve(found.map(f => f[1])); }
    });
    child.on('exit', code => reject(new Error(`${args[0]} ended with ${code}: ${out}`)));
  });
  return { child, ready, output: () => out };
}

/** One walk in an installation of its own. */
async function walk(browser, script) {
  const mode = script ? 'script' : 'noscript';
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-e2e-'));
  const sim = start(['sim', '--sim-listen', '127.0.0.1:0'],
    [/cloud: (\S+)/, /Tenant ID: (\S+)/, /Client ID: (\S+)/, /Client secret: (\S+)/, /graph = "(\S+)"/], folder);
  const [microsoft, tenantId, clientId, secret] = await sim.ready;
  const directories = Object.fromEntries([...sim.output().matchAll(/Directory: (\S+) (.+)/g)].map(m => [m[2], m[1]]));
  writeFileSync(join(folder, 'tenantry.toml'),
    `[clouds.custom]\nlabel = "Simulated Microsoft cloud"\nlogin = "${microsoft}"\ngraph = "${microsoft}"\nlimits = "none"\n`);
  const server = start(['serve', '--listen', '127.0.0.1:0', '--data-dir', join(folder, 'data'), '--config', 'tenantry.toml'],
    [/listens on (\S+)\//, /Set up at: (\S+)/], folder);
  const [root, setup] = await server.ready;
  const context = await browser.newContext({ javaScriptEnabled: script, reducedMotion: 'reduce', viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  const problems = [];
  page.on('console', m => { if (m.type() === 'error' && !m.text().includes('status of 4')) problems.push(m.text()); });
  page.on('pageerror', e => problems.push(String(e)));
  const heading = text => page.getByRole('heading', { level: 1, name: text }).waitFor();

  /** axe, sideways scroll, and pictures of the page in light, dark and narrow. */
  async function look(name) {
    if (!script) return;
    for (const [theme, width] of [['light', 1440], ['dark', 1440], ['light', 390], ['dark', 390]]) {
      await page.setViewportSize({ width, height: width === 390 ? 844 : 900 });
      await page.emulateMedia({ colorScheme: theme });
      // Colours move for a moment when the theme changes.
      await page.waitForTimeout(150);
      await page.evaluate(() => Promise.allSettled(document.getAnimations()
        .filter(a => a instanceof CSSTransition).map(a => a.finished)));
      await page.evaluate(axe);
      const result = await page.evaluate(tags => globalThis.axe.run({ runOnly: tags }), TAGS);
      const found = result.violations.map(v => `${v.id}: ${v.nodes.map(n => n.target).join(' ; ')}`);
      assert.deepEqual(found, [], `${name} ${theme} ${width}`);
      const over = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${name} scrolls sideways by ${over} px at ${width}`);
      await page.screenshot({ path: join(shots, `${name}-${width}-${theme}.png`) });
      checks += 1;
    }
    await page.emulateMedia({ colorScheme: 'light' });
    await page.setViewportSize({ width: 1440, height: 900 });
  }

  /** Microsoft's page: an account of a directory, then a button. */
  async function microsoftPage(directory, role, button) {
    await page.locator(`input[name=account][value="${directory}/${role}"]`).check();
    await page.getByRole('button', { name: button }).click();
  }

  try {
    // Setup and sign-in.
    await page.goto(setup);
    await look('setup');
    await page.getByLabel('Organisation').fill('Halden MSP');
    await page.getByLabel('Your e-mail address').fill('owner@halden.example');
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Create organisation' }).click();
    await heading('Dashboard');
    await look('dashboard-first');
    await page.getByLabel(/account of/).click();
    await page.getByRole('button', { name: 'Sign out' }).click();
    await heading('Sign in');
    await look('sign-in');
    await page.getByLabel('E-mail address').fill('owner@halden.example');
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await heading('Dashboard');

    // A credential: first with mistakes, then right; saving leads to Microsoft.
    await page.goto(`${root}${ENTRA}/credentials/new`);
    await page.getByLabel('Name').fill('Halden production');
    await page.getByLabel('Tenant ID').fill('short');
    await page.getByRole('button', { name: 'Save and ask for consent' }).click();
    await page.getByText('this one has 5').waitFor();
    await look('credential-errors');
    assert.equal(await page.getByLabel('Name').inputValue(), 'Halden production');
    await page.getByLabel('Authentication endpoint').selectOption({ label: 'Simulated Microsoft cloud' });
    await page.getByLabel('Tenant ID').fill(tenantId);
    await page.getByLabel('Client ID').fill(clientId);
    await page.getByLabel('Client secret').fill(secret);
    await page.getByRole('button', { name: 'Save and ask for consent' }).click();
    await heading('Permissions requested');
    await microsoftPage(tenantId, 'admin', 'Accept');
    await heading('Consent granted');
    await look('consent-granted');

    // Customers: pinned, proved by a second sign-in, declined.
    await page.getByRole('link', { name: 'Open credential' }).click();
    const connect = async (pin, name, ...more) => {
      await page.getByLabel('Tenant ID of the customer, if known').fill(pin ? directories[name] : '');
      await page.getByRole('button', { name: 'Connect a tenant' }).click();
      await heading('Permissions requested');
      await microsoftPage(directories[name], 'admin', 'Accept');
      if (!pin) { await heading('Sign in'); await microsoftPage(directories[name], 'admin', 'Sign in'); }
      await heading(more[0] ?? 'Consent granted');
      if (more[0]) await look('consent-refused');
      await page.getByRole('link', { name: 'Open credential' }).click();
    };
    await connect(true, 'Contoso Bakery');
    await connect(false, 'Fabrikam Freight Ltd');
    await connect(true, 'Bold <b>Brothers</b> "& Co"');
    await connect(true, 'Tailspin Logistics GmbH');
    await connect(true, 'Vigilant Vault Bank', 'Consent was declined');
    await look('credential');

    // Import three companies.
    await page.getByRole('link', { name: 'Company mapping' }).first().click();
    await heading('Company mapping');
    await look('mappings-empty');
    await page.getByRole('link', { name: 'Add', exact: true }).click();
    await heading('Add mapping');
    await look('mapping-add');
    await page.getByRole('link', { name: /Import companies from Azure AD/ }).click();
    await heading('Import companies from Azure AD');
    for (const name of ['Contoso Bakery', 'Fabrikam Freight Ltd', 'Bold <b>Brothers</b> "& Co"']) {
      await page.getByLabel(`Import ${name}`).check();
    }
    await look('mapping-import');
    await page.getByRole('button', { name: 'Next' }).click();
    await heading('Review import');
    await page.getByLabel('Name for Contoso Bakery').fill('Contoso');
    await look('mapping-review');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('3 mappings were saved').waitFor();
    await look('mappings');

    // Map an existing one.
    await page.goto(`${root}/companies/new`);
    await page.getByLabel('Name').fill('Tailspin');
    await page.getByLabel('Domain').fill('tailspin.example');
    await look('company-new');
    await page.getByRole('button', { name: 'Save' }).click();
    await heading('Tailspin');
    await page.goto(`${root}${ENTRA}/mappings/match`);
    await heading('Map existing companies');
    await page.getByText('tailspin.example').first().waitFor();
    await look('mapping-match');
    await page.getByLabel('Existing company').fill('Tailspin');
    await page.getByLabel('Azure AD company').fill('Tailspin Logistics GmbH (tailspin.example)');
    await page.getByRole('button', { name: 'Add pair to the list' }).click();
    await page.getByText('1 pair ready').waitFor();
    await page.getByRole('button', { name: 'Finish' }).click();
    await page.getByText('1 mapping was saved').waitFor();

    // Sync now, watched live. Slow pages leave time to look.
    await fetch(`${microsoft}_sim/faults`, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ path: '/v1.0/users?', kind: { slow: { ms: 700 } }, times: 100000 }) });
    const settled = async () => {
      for (let i = 0; i < 200; i += 1) {
        await page.goto(`${root}/jobs?state=running`);
        if (await page.getByText('No job here').count()) {
          await page.goto(`${root}/jobs?state=queued`);
          if (await page.getByText('No job here').count()) return;
        }
        await page.waitForTimeout(250);
      }
      throw new Error('jobs did not end');
    };
    await settled();
    await page.goto(`${root}/companies`);
    await look('companies');
    await page.getByRole('link', { name: 'Tailspin', exact: true }).click();
    await page.getByRole('button', { name: 'Sync now' }).click();
    await heading(/Azure Active Directory, Tailspin/);
    const address = page.url();
    if (script) {
      await page.evaluate(() => { window.notReloaded = true; });
      const read = page.locator('.step', { hasText: 'Users' }).getByText(/[1-9][\d,]* read/);
      await read.first().waitFor({ timeout: 15000 });
      const first = await read.first().textContent();
      await page.waitForFunction(before => {
        const step = [...document.querySelectorAll('.step')].find(s => s.textContent.includes('Users'));
        return step && !step.textContent.includes(before);
      }, first, { timeout: 15000 });
      assert.equal(await page.evaluate(() => window.notReloaded), true, 'progress came without reloading');
      await look('job-running');
    }
    await fetch(`${microsoft}_sim/faults`, { method: 'DELETE' });
    if (script) await page.locator('#live').getByText('Completed').first().waitFor({ timeout: 60000 });
    await settled();
    await page.goto(address);
    await page.getByText('Completed').first().waitFor();
    await look('job');
    await page.goto(`${root}/jobs`);
    await heading('Azure Active Directory jobs');
    await look('jobs');

    // Data: users, groups, score.
    await page.goto(`${root}/companies`);
    await page.getByRole('link', { name: 'Tailspin', exact: true }).click();
    await heading('Tailspin');
    await look('company');
    await page.getByRole('link', { name: 'Users', exact: true }).click();
    await page.getByText('1 to 50 of 5,000').waitFor();
    await look('users');
    await page.getByRole('link', { name: 'Next' }).click();
    await page.getByText('51 to 100 of 5,000').waitFor();
    await page.getByLabel('Search users').fill('Global Administrator');
    await page.getByRole('button', { name: 'Apply' }).click();
    await page.getByRole('link', { name: 'Global Administrator' }).click();
    await page.getByText('admin@tailspin.example').first().waitFor();
    await look('user');
    await page.getByRole('link', { name: 'Groups', exact: true }).first().click();
    await page.getByText(/1 to 50 of \d+/).waitFor();
    await look('groups');
    await page.getByRole('link', { name: /All <i>staff<\/i>/ }).click();
    await page.getByRole('heading', { name: 'Members' }).waitFor();
    await look('group');
    await page.getByRole('link', { name: 'Microsoft Secure Score' }).first().click();
    await page.getByRole('heading', { name: 'Last 90 days' }).waitFor();
    await look('secure-score');
    await page.getByRole('link', { name: /multifactor|legacy|consent/i }).first().click();
    await page.getByRole('heading', { name: 'What to do' }).waitFor();
    await look('control');
    await page.goto(`${root}/`);
    await look('dashboard');
    await page.goto(`${root}${ENTRA}`);
    await look('credentials');

    // Delete a mapping.
    await page.goto(`${root}${ENTRA}/mappings`);
    await page.getByLabel('Delete mapping of Contoso').click();
    await look('mapping-delete');
    await page.getByRole('button', { name: 'Delete mapping', exact: true }).locator('visible=true').click();
    await heading('Company mapping');
    await page.getByText('3 mappings', { exact: true }).waitFor();
    assert.equal(await page.getByRole('link', { name: 'Contoso', exact: true }).count(), 0);
    await page.goto(`${root}/no-such-page`);
    await look('not-found');
    assert.deepEqual(problems, [], 'errors of script or policy');
    console.log(`walk with ${mode}: passed`);
  } catch (error) {
    await page.screenshot({ path: join(shots, `failed-${mode}.png`), fullPage: true }).catch(() => {});
    console.error(`walk with ${mode} failed at ${page.url()}`);
    throw error;
  } finally {
    await context.close();
    for (const { child } of [server, sim]) { child.removeAllListeners('exit'); child.kill('SIGKILL'); }
    rmSync(folder, { recursive: true, force: true });
  }
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  await walk(browser, true);
  await walk(browser, false);
  console.log(`2 passed, 0 failed`);
  console.log(`${checks} looks by axe-core, WCAG 2.2 AA`);
} finally {
  await browser.close();
}
