// The main job in real Chromium, from the first start: setup, sign-in, credential, Microsoft's page,
// import, mapping, Sync now, live progress, data, deletion. With script and without. Every page is
// checked by axe-core (WCAG 2.2 AA) and for errors of script and policy, in light, dark and narrow.
//
//   node walk.mjs BINARY [SHOTS_FOLDER]
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { PASSWORD, counted, install, open, shots } from './harness.mjs';
import { people } from './people.mjs';

const ENTRA = '/settings/integrations/entra';

/** One walk in an installation of its own. */
async function walk(browser, script) {
  const mode = script ? 'script' : 'noscript';
  const installation = await install();
  const { sim, microsoft, tenantId, clientId, secret, root, setup } = installation;
  const directories = Object.fromEntries([...sim.output().matchAll(/Directory: (\S+) (.+)/g)].map(m => [m[2], m[1]]));
  const { context, page, problems, heading, look, proving } = await open(browser, script);
  await proving();

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
    await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Halden production');
    await page.getByLabel('Tenant ID').fill('short');
    await page.getByRole('button', { name: 'Save and continue' }).click();
    await page.getByText('this one has 5').waitFor();
    await look('credential-errors');
    assert.equal(await page.getByRole('textbox', { name: 'Name', exact: true }).inputValue(), 'Halden production');
    await page.getByLabel('Authentication endpoint').selectOption({ label: 'Simulated Microsoft cloud' });
    await page.getByLabel('Tenant ID').fill(tenantId);
    await page.getByLabel('Client ID').fill(clientId);
    await page.getByRole('textbox', { name: 'Client secret' }).fill(secret);
    await page.getByRole('button', { name: 'Save and continue' }).click();
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
    await consentLinks(page, { root, clientId, directories, look, heading, microsoftPage, browser, script });

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

    // Sync now, watched live: everybody changed, and slow pages leave time to look.
    await tell(microsoft, 'changes', { directory: 'tailspin.example', every: '1' });
    await fetch(`${microsoft}_sim/faults`, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ path: '/v1.0/users', kind: { slow: { ms: 6000 } }, times: 100000 }) });
    const settled = async () => {
      for (let i = 0; i < 200; i += 1) {
        // Sign-in activity goes its own pace, which nobody waits for.
        await page.goto(`${root}/jobs?state=running&kind=directory`);
        if (await page.getByText('No job here').count()) {
          await page.goto(`${root}/jobs?state=queued&kind=directory`);
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
    await page.goto(`${root}/jobs?state=scheduled`);
    await page.getByText('Begins').waitFor();
    await look('jobs, scheduled');

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
    await tenantsAndCompanies(page, { root, look, heading });
    await renewal(page, { root, microsoft, clientId, look, heading });
    await certificate(page, { root, microsoft, look, heading, settled, sim: sim.output() });
    await oversight(page, { root, look, heading, settled });
    await outlets(page, { root, look, heading, script });

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
    installation.end();
  }
}

/** A form post to the simulator, as its pages send it; answers JSON where there is any. */
async function tell(microsoft, path, form) {
  const answer = await fetch(`${microsoft}_sim/${path}`, { method: 'POST', body: new URLSearchParams(form) });
  assert.ok(answer.ok, `${path}: ${answer.status}`);
  return answer.headers.get('content-type')?.includes('json') ? answer.json() : undefined;
}

/** Alerts, evidence and an assessment of it, a channel that sends a test, a report, the contact form. */
async function oversight(page, { root, look, heading }) {
  await page.goto(`${root}/alerts`);
  await heading('Alerts');
  await page.getByRole('link', { name: /ends within|is at risk/ }).first().waitFor();
  await look('alerts');
  await page.getByRole('link', { name: /ends within|is at risk/ }).first().click();
  await page.getByRole('button', { name: 'Acknowledge' }).click();
  await page.getByText('Acknowledged').first().waitFor();
  await look('alert');
  await page.goto(`${root}/alerts`);
  await page.getByRole('checkbox', { name: /Choose alert/ }).first().check();
  await page.getByRole('button', { name: 'Snooze' }).click();
  await page.getByText('1 changed.').waitFor();
  await page.goto(`${root}/evidence`);
  await heading('Evidence');
  await page.getByText('Covered').first().waitFor();
  await look('evidence');
  await page.getByRole('link', { name: 'Tailspin', exact: true }).click();
  await page.getByRole('heading', { name: 'Statements' }).waitFor();
  await look('company-evidence');
  await page.getByRole('link', { name: 'Privileged roles' }).first().click();
  await page.getByRole('heading', { name: 'Seen by' }).waitFor();
  await look('statement');

  await page.goto(`${root}/assessments/new`);
  await page.getByLabel('Company').selectOption({ label: 'Tailspin' });
  await page.getByRole('textbox', { name: 'Name' }).fill('');
  await page.getByRole('button', { name: 'Begin' }).click();
  await page.getByText('Enter a name of at most 120 characters.').waitFor();
  await look('assessment-refused');
  await page.getByRole('textbox', { name: 'Name' }).fill('Fourth quarter');
  await page.getByRole('button', { name: 'Begin' }).click();
  await heading('Fourth quarter');
  await page.getByRole('button', { name: 'Attach what syncs saw' }).click();
  await page.getByText('so somebody else approves it').waitFor();
  await page.getByRole('cell', { name: /accounts:/ }).first().waitFor();
  await look('assessment');

  await page.goto(`${root}/settings/notifications`);
  await heading('Notifications');
  await look('notifications');
  await page.getByRole('link', { name: 'Add channel' }).click();
  await page.getByText('Mail by SMTP').click();
  await look('channel-new');
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Service desk');
  await page.getByLabel('Server').fill('127.0.0.1');
  await page.getByLabel('Port').fill('9');
  await page.getByLabel('Encryption').selectOption('none');
  await page.getByLabel('Sender').fill('alerts@halden.example');
  await page.locator('#to').fill('ops@halden.example');
  await page.getByRole('button', { name: 'Save' }).click();
  await heading('Service desk');
  await page.getByRole('button', { name: 'Send a test' }).click();
  await page.getByText('Test of a notification channel').waitFor();
  await look('channel');
  await page.goto(`${root}/settings/contact-form`);
  await page.getByLabel('Delivered to').fill('contact@halden.example');
  await page.getByText('The form is open').click();
  await page.getByRole('button', { name: 'Save' }).click();
  await look('contact-form');
  const address = await page.locator('#contact-url').textContent();
  await page.goto(address);
  await page.getByRole('button', { name: 'Send' }).click();
  await page.getByText('Enter your e-mail address').waitFor();
  await look('contact-refused');

  await page.goto(`${root}/companies`);
  await page.getByRole('link', { name: 'Tailspin', exact: true }).click();
  await page.getByRole('link', { name: 'Reports', exact: true }).click();
  await page.getByLabel('Recipients').fill('boss@tailspin.example');
  await page.getByRole('button', { name: 'Send every month' }).click();
  await page.getByText('On day 2 of each month').waitFor();
  await look('reports');
  await page.getByRole('table').getByRole('link').first().click();
  await page.getByRole('heading', { name: 'Administrators' }).waitFor();
  await look('report');
}

/** An intake, refused and added; files of lists and events; the reference of the API, with a request that is sent from it. */
async function outlets(page, { root, look, heading, script }) {
  await page.goto(`${root}/settings/exports`);
  await heading('Exports');
  await look('exports-empty');
  await page.getByRole('link', { name: 'Add intake' }).click();
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('SIEM');
  await page.getByLabel('Address').fill('http://169.254.169.254/');
  await page.getByRole('button', { name: 'Save' }).click();
  await page.locator('#url-error').waitFor();
  await look('intake-refused');
  assert.equal(await page.getByRole('textbox', { name: 'Name', exact: true }).inputValue(), 'SIEM');
  await page.getByLabel('Address').fill('https://siem.example.com/intake');
  await page.getByLabel('Token').fill('intake-token');
  await page.getByText('Detection Finding (2004)').click();
  await page.getByRole('button', { name: 'Save' }).click();
  await heading('SIEM');
  await page.getByText('User Inventory Info, Device Inventory Info, Compliance Finding').waitFor();
  await look('intake');
  await page.getByRole('button', { name: 'Pause' }).click();
  await page.getByText('Paused').waitFor();
  await page.goto(`${root}/settings/exports`);
  await page.getByRole('link', { name: 'SIEM' }).waitFor();
  await look('exports');

  /** A link or button that hands out a file: its text. */
  const saved = async click => {
    const [download] = await Promise.all([page.waitForEvent('download'), click()]);
    const parts = [];
    for await (const part of await download.createReadStream()) parts.push(part);
    return { name: download.suggestedFilename(), text: Buffer.concat(parts).toString() };
  };
  const events = await saved(() => page.getByRole('button', { name: 'Download NDJSON' }).click());
  assert.equal(events.name, 'ocsf-events.ndjson');
  const first = JSON.parse(events.text.split('\n')[0]);
  assert.equal(first.metadata.version, '1.6.0');
  await page.goto(`${root}/companies`);
  const companies = await saved(() => page.getByRole('link', { name: 'CSV', exact: true }).click());
  assert.match(companies.text, /^id,name,domain,/);
  await page.getByRole('link', { name: 'Tailspin', exact: true }).click();
  await page.getByRole('link', { name: 'Devices', exact: true }).click();
  const devices = await saved(() => page.getByRole('link', { name: 'CSV', exact: true }).click());
  assert.match(devices.name, /^devices-Tailspin/);
  const inventory = await saved(() => page.getByRole('link', { name: 'OCSF', exact: true }).click());
  assert.equal(JSON.parse(inventory.text.split('\n')[0]).class_uid, 5001);

  await page.goto(`${root}/account`);
  await page.locator('#token_name').fill('Reference');
  await page.getByRole('button', { name: 'Make a token' }).click();
  const token = await page.locator('#token').textContent();
  await page.goto(`${root}/developers/api`);
  await heading('API');
  const operation = page.locator('#get-companies');
  await operation.locator('summary').click();
  await look('api');
  if (script) {
    await page.getByLabel('Token to try with').fill(token.trim());
    await operation.getByLabel('limit').fill('1');
    await operation.getByRole('button', { name: 'Send' }).click();
    await operation.getByText('200 OK').waitFor();
    await operation.getByText('"external_id"').waitFor();
    await look('api-answer');
  }
}

/** Consent links, opened in a second, signed-out browser: consented, declined, withdrawn. */
async function consentLinks(page, { root, directories, look, heading, browser, script }) {
  const credential = page.url().split('#')[0];
  const make = async company => {
    await page.goto(credential);
    await page.getByText('Make a consent link', { exact: true }).click();
    await page.locator('#link-company').fill(company);
    await page.locator('#link-note').fill('As we agreed on the telephone.');
    await page.getByRole('button', { name: 'Make link' }).click();
    return page.locator('#links ~ *, .card').locator('code', { hasText: '/consent/links/' }).first().textContent();
  };
  const context = await browser.newContext({ javaScriptEnabled: script, reducedMotion: 'reduce' });
  const stranger = await context.newPage();
  const account = (directory, role, button) => stranger.locator(`input[name=account][value="${directory}/${role}"]`).check()
    .then(() => stranger.getByRole('button', { name: button }).click());
  const at = text => stranger.getByRole('heading', { level: 1, name: text }).waitFor();

  const first = await make('Northwind Dental Group');
  await look('consent-link-made');
  await stranger.goto(first);
  await at('Halden MSP asks for your consent');
  await look('consent-link-landing', stranger);
  await stranger.getByRole('button', { name: 'Continue to Microsoft' }).click();
  await at('Permissions requested');
  await account(directories['Northwind Dental Group'], 'admin', 'Cancel');
  await at('Consent was declined');
  await look('consent-link-declined', stranger);
  await stranger.goto(first);
  await stranger.getByRole('button', { name: 'Continue to Microsoft' }).click();
  await account(directories['Northwind Dental Group'], 'admin', 'Accept');
  await at('Consent granted');
  await look('consent-link-granted', stranger);
  await stranger.goto(first);
  await at('This link cannot be used');
  await page.goto(credential);
  await page.getByRole('cell', { name: 'Consented', exact: true }).first().waitFor();

  const second = await make('Elsewhere');
  await page.goto(credential);
  await page.getByLabel('Withdraw the link for Elsewhere').click();
  await stranger.goto(second);
  await at('This link cannot be used');
  await look('consent-link-closed', stranger);
  await context.close();
  await page.goto(credential);
  await heading('Halden production');
}

/** Discovery, tenants, remapping, companies from a CSV, the organisation's contact. */
async function tenantsAndCompanies(page, { root, look, heading }) {
  await page.getByRole('link', { name: 'Halden production' }).click();
  await page.getByLabel('Domains or tenant IDs, one a line').fill('aozora.example\nnobody.example');
  await page.getByRole('button', { name: 'Look up' }).click();
  await page.getByText('1 tenant found, 1 new').waitFor();
  await page.getByText('knows no tenant').waitFor();
  await page.goto(`${root}${ENTRA}/tenants`);
  await heading('Tenants');
  await look('tenants');
  await page.getByRole('link', { name: 'Contoso Bakery', exact: true }).click();
  await page.getByText('AAD_PREMIUM').first().waitFor();
  await look('tenant');
  await page.goto(`${root}/companies/import`);
  await page.getByLabel('Or paste it').fill('name,domain,external id\nNew Customer,new.example,77\nContoso,contoso.example,\n,nothing.example,1\n');
  await page.getByRole('button', { name: 'Check' }).click();
  await page.getByText('1 new, 1 changed, 0 as they are, 1 left out').waitFor();
  await look('company-import');
  await page.getByRole('button', { name: 'Import' }).click();
  await page.getByRole('link', { name: 'New Customer', exact: true }).waitFor();
  await page.goto(`${root}${ENTRA}/mappings`);
  await page.getByLabel('Remap Fabrikam Freight Ltd').click();
  await page.getByLabel('Company from now on').selectOption({ label: 'New Customer' });
  await look('remap');
  await page.getByRole('button', { name: 'Remap' }).click();
  await page.getByText('1 mapping was saved').waitFor();
  await page.goto(`${root}/settings/organisation`);
  await page.getByLabel('Contact').fill('help@halden.example');
  await look('organisation');
  await page.getByRole('region', { name: 'Organisation' }).getByRole('button', { name: 'Save' }).click();
  await page.getByText('Saved.').waitFor();
}

/** A secret that ends soon, then has ended, renewed while a sync runs: no job fails. */
async function renewal(page, { root, microsoft, clientId, look, heading }) {
  await page.goto(`${root}${ENTRA}`);
  await page.getByRole('link', { name: 'Halden production' }).click();
  const credential = page.url();
  const { value: ending } = await tell(microsoft, 'secrets', { client_id: clientId, ends_in: 10 * 86400 });
  const renew = async value => {
    await page.goto(`${credential}/secrets/new`);
    await page.getByRole('textbox', { name: 'Client secret' }).fill(value);
    await page.getByRole('button', { name: 'Try and save' }).click();
  };
  await renew('not-the-right-one');
  await page.getByText('The stored one stays in use').waitFor();
  await look('renew-refused');
  await renew(ending);
  await heading('Halden production');
  await page.getByRole('button', { name: 'Test connection' }).click();
  await page.getByText('Expires soon').first().waitFor({ timeout: 15000 }).catch(() => page.reload());
  await page.goto(credential);
  await page.getByText('Expires soon').first().waitFor();
  await page.getByText('Works, with gaps').waitFor({ timeout: 15000 });
  await look('credential-tested');
  // A sync under way, each page slow; the secret in use ends after its renewal, or before it.
  for (const order of ['expiring', 'expired']) {
    await tell(microsoft, 'changes', { directory: 'tailspin.example', every: '1' });
    await fetch(`${microsoft}_sim/faults`, { method: 'POST', headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ path: '/v1.0/users', kind: { slow: { ms: 400 } }, times: 100000 }) });
    await page.goto(`${root}/companies`);
    await page.getByRole('link', { name: 'Tailspin', exact: true }).click();
    await page.getByRole('button', { name: 'Sync now' }).click();
    await heading(/Azure Active Directory, Tailspin/);
    const job = page.url();
    const { value: fresh } = await tell(microsoft, 'secrets', { client_id: clientId });
    if (order === 'expired') await tell(microsoft, 'secrets/expire', { client_id: clientId });
    await renew(fresh);
    await page.getByText('Microsoft took it, and it is in use now').waitFor();
    if (order === 'expiring') await tell(microsoft, 'secrets/expire', { client_id: clientId });
    await fetch(`${microsoft}_sim/faults`, { method: 'DELETE' });
    for (let i = 0; i < 120; i += 1) {
      await page.goto(job);
      if (await page.getByText('Completed').count()) break;
      assert.equal(await page.locator('.page-head').getByText('Failed').count(), 0, 'no job fails');
      await page.waitForTimeout(250);
    }
    await page.getByText('Completed').first().waitFor();
  }
  await page.goto(`${root}/jobs?state=failed`);
  await page.getByText('No job here').waitFor();
  await page.goto(credential);
  await page.getByText('Replaced').first().waitFor();
}

/** A single-tenant credential with a certificate made here: from creation to the first sync. */
async function certificate(page, { root, microsoft, look, heading, settled, sim }) {
  const [tenantId, clientId] = [...sim.matchAll(/Tenant ID: (\S+)\nClient ID: (\S+)/g)][1].slice(1);
  await page.goto(`${root}${ENTRA}/credentials/new?kind=single_tenant`);
  await page.getByRole('textbox', { name: 'Name', exact: true }).fill('Own directory');
  await page.getByLabel('Authentication endpoint').selectOption({ label: 'Simulated Microsoft cloud' });
  await page.getByLabel('Tenant ID').fill(tenantId);
  await page.getByLabel('Client ID').fill(clientId);
  await page.getByLabel('Certificate made here').check();
  await look('credential-new');
  await page.getByRole('button', { name: 'Save and continue' }).click();
  await page.getByText('Upload the certificate first').waitFor();
  await look('certificate-made');
  const link = await page.getByRole('link', { name: 'Download certificate' }).getAttribute('href');
  const file = await (await page.context().request.get(`${root}${link}`)).text();
  assert.match(file, /BEGIN CERTIFICATE/);
  await page.getByRole('button', { name: 'Test connection' }).click();
  await page.getByText('AADSTS').first().waitFor({ timeout: 15000 }).catch(() => page.reload());
  await page.getByText('Failed').first().waitFor({ timeout: 15000 }).catch(() => page.reload());
  await page.getByText('Check that the certificate is uploaded').waitFor();
  await look('test-failed');
  await tell(microsoft, 'certificates', { client_id: clientId, certificate: file });
  await tell(microsoft, 'grants', { client_id: clientId });
  await page.getByRole('button', { name: 'Test connection' }).click();
  await page.waitForTimeout(2500);
  await page.reload();
  await page.getByText(/^(Passed|Works, with gaps)$/).first().waitFor({ timeout: 15000 });
  await page.getByText('Good until').waitFor();
  await look('test-passed');
  await page.getByRole('link', { name: 'Map it' }).click();
  await heading('Add mapping');
  await page.getByRole('link', { name: /Import companies from Azure AD/ }).click();
  assert.ok(await page.getByLabel('Import Halden MSP').isChecked(), 'the tenant that it was opened for is ticked');
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('1 mapping was saved').waitFor();
  await settled();
  await page.goto(`${root}/companies`);
  await page.getByRole('link', { name: 'Halden MSP', exact: true }).click();
  await page.getByRole('link', { name: 'Users', exact: true }).click();
  await page.getByText('admin@haldenmsp.example').first().waitFor();
}

const browser = await chromium.launch({
  executablePath: process.env.CHROMIUM ?? '/usr/bin/chromium',
  args: ['--headless', '--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update', '--disable-sync'],
});
try {
  await walk(browser, true);
  await walk(browser, false);
  await people(browser);
  console.log(`3 passed, 0 failed`);
  console.log(`${counted.looks} looks by axe-core, WCAG 2.2 AA`);
} finally {
  await browser.close();
}
