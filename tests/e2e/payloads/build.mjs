// Everything that members and directories can name, named by payloads.
import assert from 'node:assert/strict';
import { PASSWORD } from '../harness.mjs';
import { PAYLOADS, address, text } from './texts.mjs';
import { abroad, labels, look, state, submit, visit } from './watch.mjs';
import { atMicrosoft, person } from './world.mjs';

const ENTRA = '/settings/integrations/entra';

const OWNER = address(7);
export const AUDITOR = address(8);

/** Setup, credentials, consents, links, mappings, members, providers: each with hostile texts. */
export async function build(browser, page, world) {
  const { cloud, setup, applications: [main, own, delegated], directories, tell, operate } = world;
  const [fabrikam, contoso, bold, northwind] = ['Fabrikam Freight Ltd', 'Contoso Bakery', 'Bold <b>Brothers</b> "& Co"', 'Northwind Dental Group'].map(name => directories[name]);
  cloud.refuses = contoso;
  cloud.domains = bold;
  for (let i = 0; i < 8; i += 1) await visit(page, `/setup?${query({ token: text('setup.token'), partner: text('setup.partner'), email: text('setup.email') })}`);
  await submit(page, '/setup', { '*': text('setup') });
  await page.goto(setup);
  await submit(page, '/setup', { partner: text('partner.name', 110), email: OWNER, password: PASSWORD });
  assert.equal(new URL(page.url()).pathname, '/');
  await visit(page, '/settings/organisation');
  await submit(page, '/settings/organisation', { name: text('partner.name', 110), contact: `${PAYLOADS[60]} ⟦partner.contact⟧` });

  // The main credential, its consents and links.
  abroad.add(page);
  await visit(page, `${ENTRA}/credentials/new`, { stir: false });
  const fill = async ({ tenant, client, secret }, name) => {
    await page.locator('#cloud').selectOption({ label: 'Simulated Microsoft cloud' });
    await page.locator('#name').fill(name);
    await page.locator('#directory_id').fill(tenant);
    await page.locator('#client_id').fill(client);
    if (secret) await page.locator('#client_secret').fill(secret);
    await page.getByRole('button', { name: 'Save and continue' }).click();
  };
  await fill(main, text('credential.name', 90));
  await page.getByRole('heading', { level: 1, name: 'Permissions requested' }).waitFor();
  await atMicrosoft(page, `${main.tenant}/admin`, 'Accept');
  await page.getByRole('heading', { level: 1, name: 'Consent granted' }).waitFor();
  await look(page, { stir: false });
  await page.getByRole('link', { name: 'Open credential' }).click();
  await page.locator('#pin').waitFor();
  const credential = new URL(page.url()).pathname;
  for (const [directory, role] of [[fabrikam, 'admin'], [contoso, 'admin'], [bold, 'admin'], [directories['Vigilant Vault Bank'], 'admin'], [directories['Thrift Stores Holding'], 'user']]) {
    await visit(page, credential, { stir: false });
    await page.locator('#pin').fill(directory);
    await page.getByRole('button', { name: 'Connect a tenant' }).click();
    await page.getByRole('heading', { level: 1, name: 'Permissions requested' }).waitFor();
    await atMicrosoft(page, `${directory}/${role}`, 'Accept');
    await look(page);
  }
  const links = [];
  for (let i = 0; i < 3; i += 1) {
    await visit(page, credential, { stir: false });
    await submit(page, `${credential}/links`, { company_name: text('link.company', 200), note: text('link.note', 400) });
    links.push(new URL((await page.locator('code', { hasText: '/consent/links/' }).first().textContent()).trim()).pathname);
  }
  await visit(page, credential, { stir: false });
  await page.getByRole('button', { name: /^Withdraw the link/ }).first().click();
  await page.waitForLoadState();
  const stranger = await person(browser);
  abroad.add(stranger);
  const usable = [];
  for (const link of links) {
    await visit(stranger, link, { stir: false });
    if (await stranger.getByRole('button', { name: 'Continue to Microsoft' }).count()) usable.push(link);
  }
  assert.equal(usable.length, 2);
  const [used, open] = usable;
  for (const answer of ['Cancel', 'Accept']) {
    await visit(stranger, used, { stir: false });
    await stranger.getByRole('button', { name: 'Continue to Microsoft' }).click();
    await atMicrosoft(stranger, `${northwind}/admin`, answer);
    labels.set(stranger, `${used}, ${answer}`);
    await look(stranger);
  }
  await stranger.getByRole('heading', { level: 1, name: 'Consent granted' }).waitFor();
  await visit(stranger, used);
  abroad.delete(stranger);

  // Companies from a file with a hostile name, and the mappings.
  await visit(page, '/companies/import', { stir: false });
  const quoted = value => `"${value.replaceAll('"', '""')}"`;
  const lines = PAYLOADS.map((payload, n) => [`${payload} ⟦company.name⟧`, n === 3 ? 'northwinddental.example' : '', payload.length < 100 ? payload : '']).filter(([name]) => name.length <= 200);
  await page.locator('#file').setInputFiles({ name: '"><img src=x onerror=__ran(3) data-hole=3>.csv', mimeType: 'text/csv',
    buffer: Buffer.from(`name,domain,external id\n${lines.map(line => line.map(quoted).join(',')).join('\n')}\n,nothing.example,${quoted(PAYLOADS[9])}\n`) });
  await page.getByRole('button', { name: 'Check' }).click();
  await page.getByRole('heading', { name: 'What would happen' }).waitFor();
  labels.set(page, 'the file with companies, checked');
  await look(page, { stir: false });
  await page.getByRole('button', { name: 'Import' }).click();
  await page.getByText('were imported or changed').waitFor();
  await visit(page, `${ENTRA}/mappings/import`, { stir: false });
  for (const directory of [fabrikam, contoso, bold]) await page.locator('tr', { hasText: directory }).locator('input[name=tenant]').check();
  await page.getByRole('button', { name: 'Next' }).click();
  await page.getByRole('heading', { level: 1, name: 'Review import' }).waitFor();
  labels.set(page, 'the review of an import');
  await look(page, { stir: false });
  await page.getByRole('button', { name: 'Save' }).click();
  await page.getByText('3 mappings were saved').waitFor();

  // An application of its own directory, with a certificate; and a person's authorisation.
  await visit(page, `${ENTRA}/credentials/new?kind=single_tenant`, { stir: false });
  for (const box of await page.locator('input[name=feature]').all()) await box.check();
  await page.getByLabel('Certificate made here').check();
  await fill({ ...own, secret: '' }, text('credential.name', 90));
  await page.getByText('Upload the certificate first').waitFor();
  const single = new URL(page.url()).pathname;
  const certificate = await page.getByRole('link', { name: 'Download certificate' }).getAttribute('href');
  await tell('certificates', { client_id: own.client, certificate: await (await page.context().request.get(state.root + certificate)).text() });
  await tell('grants', { client_id: own.client });
  await tell('faults', { path: '/v1.0/', kind: { slow: { ms: 150 } }, times: 100000 });
  await page.getByRole('button', { name: 'Test connection' }).click();
  await page.waitForURL(url => url.hash === '#test');
  await page.evaluate(() => { document.querySelector('#test-lines').replaceChildren(); });
  // What is there now came as a fragment of the live stream.
  await page.locator('#test-lines', { hasText: '⟦applications.displayName⟧' }).waitFor({ timeout: 20000 });
  labels.set(page, `${single}, live test`);
  await look(page, { stir: false });
  await world.calm();
  await page.getByText(/^(Passed|Works, with gaps|Failed)$/).first().waitFor({ timeout: 30000 });
  for (const how of ['GDAP customers', 'Reseller contracts']) {
    await visit(page, single, { stir: false });
    await page.getByRole('button', { name: how }).click();
    await page.getByText(/tenants? found/).waitFor();
    await look(page);
  }
  cloud.rejects = own.client;
  await visit(page, single, { stir: false });
  await page.getByRole('button', { name: 'Test connection' }).click();
  await page.getByText('⟦token.error⟧').first().waitFor({ timeout: 20000 });
  await visit(page, single);
  cloud.rejects = undefined;
  await visit(page, `${ENTRA}/credentials/new?kind=delegated`, { stir: false });
  await fill(delegated, text('credential.name', 90));
  await page.getByRole('button', { name: 'Authorise' }).click();
  await page.waitForURL(url => url.origin === state.microsoft);
  await atMicrosoft(page, `${delegated.tenant}/admin`, 'Sign in');
  await look(page);

  // A provider, and an account of it that is linked.
  await visit(page, '/settings/sign-in/new', { stir: false });
  await page.locator('#cloud').selectOption({ label: 'Simulated Microsoft cloud' });
  await page.locator('input[name=is_listed]').check();
  await submit(page, '/settings/sign-in', { name: text('provider.name', 60), directory_id: main.tenant, client_id: main.client, client_secret: main.secret });
  await visit(page, '/settings/sign-in');
  const provider = (await page.locator('code', { hasText: '/sign-in/callback/' }).first().textContent()).trim().split('/').at(-1);
  // The page that leads on stays as long as nothing comes of it.
  cloud.silent = true;
  await visit(page, '/account', { stir: false });
  await page.getByRole('button', { name: 'Link an account' }).click({ noWaitAfter: true });
  await page.getByRole('link', { name: 'Continue' }).waitFor();
  labels.set(page, 'on to the provider');
  await look(page, { stir: false, elsewhere: state.microsoft });
  cloud.silent = false;
  await page.getByRole('link', { name: 'Continue' }).click();
  await page.waitForURL(url => url.pathname !== `/account/providers/${provider}/link`);
  await atMicrosoft(page, `${main.tenant}/admin`, 'Sign in');
  await page.getByText('⟦id_token.preferred_username⟧').first().waitFor();

  // Another organisation of the owner's, invitations, a token.
  const [, joins] = operate('partner', 'add', `${PAYLOADS[5]} ⟦partner.other⟧`, '--owner', OWNER).match(/(\/invitations\/\S+)/);
  const second = await person(browser);
  await visit(second, joins, { stir: false });
  await submit(second, joins, { password: PASSWORD });
  assert.equal(new URL(second.url()).pathname, '/');
  await second.context().close();
  const invitations = [];
  for (const email of [AUDITOR, address(9), address(10)]) {
    await visit(page, '/settings/members/new', { stir: false });
    await page.locator('input[name=role][value=auditor]').check();
    await submit(page, '/settings/members', { email });
    invitations.push(new URL(await page.locator('#link').textContent()).pathname);
  }
  // A channel, an intake and an assessment, so that there is something of each.
  await visit(page, '/settings/notifications/new', { stir: false });
  await page.locator('input[name=kind][value=webhook]').check();
  await submit(page, '/settings/notifications', { name: text('channel.name', 60), url: 'https://hooks.example.com/x' });
  await visit(page, '/settings/exports/new', { stir: false });
  await submit(page, '/settings/exports', { name: text('intake.name', 60), url: 'https://siem.example.com/x' });
  await visit(page, '/assessments/new', { stir: false });
  await page.locator('#company').selectOption({ index: 1 });
  await submit(page, '/assessments', { name: text('assessment.name', 120) });
  await visit(page, '/account', { stir: false });
  await page.locator('#token_role').selectOption('auditor');
  await submit(page, '/account/tokens', { token_name: text('token.name', 60) });
  const token = await page.locator('#token').textContent();
  abroad.delete(page);
  return { credential, open, provider, invitations, token, stranger, fabrikam, contoso, bold };
}

export const query = pairs => new URLSearchParams(pairs).toString();

/** Waits until no job of the kinds that people wait for is open. */
export async function settled(page) {
  for (let i = 0; i < 240; i += 1) {
    let open = 0;
    for (const kind of ['directory', 'secure_score']) for (const at of ['queued', 'running']) {
      await page.goto(`${state.root}/jobs?state=${at}&kind=${kind}`);
      open += await page.getByText('No job here').count() ? 0 : 1;
    }
    if (!open) return;
    await page.waitForTimeout(200);
  }
  throw new Error('jobs did not end');
}

/** The ids of companies by their directories, from the page of mappings. */
export async function companies(page, found) {
  await visit(page, `${ENTRA}/mappings?credential=${found.credential.split('/').at(-1)}`, { stir: false });
  const of = async directory => (await page.locator('tr', { has: page.locator(`[title="${directory}"]`) }).locator('a[href^="/companies/"]').first().getAttribute('href'));
  return { F: await of(found.fabrikam), C: await of(found.contoso), B: await of(found.bold) };
}

/** A second sync, everything renamed, each page slow: lists and jobs that change by themselves. */
export async function live(page, world, found, at) {
  world.cloud.generation += 1;
  await world.tell('changes', { directory: found.fabrikam, every: '1' });
  await world.tell('faults', { path: '/v1.0/users', kind: { slow: { ms: 8000 } }, times: 100000 });
  await visit(page, `/companies?${query({ q: '⟦organization.displayName⟧' })}`, { stir: false });
  for (const box of await page.locator('tbody input[name=company]').all()) await box.check();
  await page.getByRole('button', { name: 'Sync those that are ticked' }).click();
  await page.getByText('What was done for each company').waitFor();
  labels.set(page, '/jobs, many at once');
  await look(page);
  await visit(page, `/jobs?state=running&kind=directory&company=${at.C.split('/').at(-1)}`, { stir: false });
  await page.locator('a.job-title').first().click();
  await page.locator('#live').waitFor();
  const job = new URL(page.url()).pathname;
  await page.evaluate(() => { document.querySelector('#live').replaceChildren(); });
  await page.locator('#live', { hasText: '⟦graph.error.code⟧' }).waitFor({ timeout: 20000 });
  labels.set(page, `${job}, live`);
  await look(page, { stir: false });
  await visit(page, '/jobs', { stir: false });
  await page.evaluate(() => { document.querySelector('#list').replaceChildren(); });
  await page.locator('#list', { hasText: '⟦organization.displayName⟧' }).waitFor({ timeout: 15000 });
  labels.set(page, '/jobs, renewed by itself');
  await look(page, { stir: false });
  await world.calm();
  await settled(page);
}
