// People: passkey and authenticator app with a virtual authenticator, invitations, and what an auditor,
// a technician and a viewer of one company each see.
import { createHmac } from 'node:crypto';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { PASSWORD, install, open, shots } from './harness.mjs';

const OWNER = 'owner@halden.example';

/** A code of an authenticator app (RFC 6238); `later` steps of 30 seconds ahead. */
function code(key, later = 0) {
  const bits = [...key.replace(/\s/g, '')].map(c => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(c).toString(2).padStart(5, '0')).join('');
  const seed = Buffer.from(bits.match(/.{8}/g).map(b => parseInt(b, 2)));
  const step = Buffer.alloc(8);
  step.writeBigUInt64BE(BigInt(Math.floor(Date.now() / 30000) + later));
  const tag = createHmac('sha1', seed).update(step).digest();
  return String((tag.readUInt32BE(tag[19] & 15) & 0x7fffffff) % 1000000).padStart(6, '0');
}

/** An authenticator inside Chromium that verifies its user. */
async function authenticator(page) {
  const client = await page.context().newCDPSession(page);
  await client.send('WebAuthn.enable');
  const { authenticatorId } = await client.send('WebAuthn.addVirtualAuthenticator', {
    options: { protocol: 'ctap2', transport: 'internal', hasResidentKey: true, hasUserVerification: true, isUserVerified: true, automaticPresenceSimulation: true },
  });
  return { verified: is => client.send('WebAuthn.setUserVerified', { authenticatorId, isUserVerified: is }) };
}

async function signIn(page, root, email) {
  await page.goto(`${root}/sign-in`);
  await page.getByLabel('E-mail address').fill(email);
  await page.getByLabel('Password').fill(PASSWORD);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

async function signOut(page) {
  await page.getByLabel(/account of/).click();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { level: 1, name: 'Sign in' }).waitFor();
}

/** An owner invites; answers the link. */
async function invite(owner, root, email, role, company) {
  await owner.page.goto(`${root}/settings/members/new`);
  await owner.page.getByLabel('E-mail address').fill(email);
  await owner.page.getByRole('radio', { name: new RegExp(`^${role} `) }).check();
  if (company) {
    await owner.page.getByRole('radio', { name: /Only these/ }).check();
    await owner.page.getByRole('checkbox', { name: company }).check();
  }
  if (company) await owner.look('member-invite');
  await owner.page.getByRole('button', { name: 'Make the invitation' }).click();
  await owner.heading('Invitation');
  if (company) await owner.look('member-invited');
  return owner.page.locator('#link').textContent();
}

/** Somebody who was invited, in a browser of their own. */
async function join_(browser, link) {
  const person = await open(browser, true);
  await person.page.goto(link);
  await person.page.getByLabel('Choose a password').fill(PASSWORD);
  await person.page.getByRole('button', { name: 'Join' }).click();
  await person.heading('Dashboard');
  return person;
}

export async function people(browser) {
  const installation = await install();
  const { root, setup } = installation;
  const owner = await open(browser, true);
  const { page, look, heading } = owner;
  const everybody = [owner];
  try {
    await page.goto(setup);
    await page.getByLabel('Organisation').fill('Halden MSP');
    await page.getByLabel('Your e-mail address').fill(OWNER);
    await page.getByLabel('Password').fill(PASSWORD);
    await page.getByRole('button', { name: 'Create organisation' }).click();
    await heading('Dashboard');
    for (const name of ['Contoso Bakery', 'Northwind Traders']) {
      await page.goto(`${root}/companies/new`);
      await page.getByLabel('Name', { exact: true }).fill(name);
      await page.getByRole('button', { name: 'Save' }).click();
      await heading(name);
    }

    // Before the owner has a second factor: three who are invited.
    const links = {
      auditor: await invite(owner, root, 'auditor@halden.example', 'auditor'),
      technician: await invite(owner, root, 'technician@halden.example', 'technician'),
      viewer: await invite(owner, root, 'viewer@halden.example', 'viewer', 'Contoso Bakery'),
    };
    await page.goto(`${root}/settings/members`);
    await look('members-invited');

    // An authenticator app.
    await page.goto(`${root}/account`);
    await look('account-plain');
    await page.getByRole('link', { name: 'Set up' }).click();
    await heading('Set up an authenticator app');
    await look('account-app');
    const key = await page.locator('code.secret').textContent();
    await page.getByLabel(/The code that the app shows/).fill('000000');
    await page.getByRole('button', { name: 'Set up' }).click();
    await page.getByText("not the app's present code").waitFor();
    await page.getByLabel(/The code that the app shows/).fill(code(key));
    await page.getByRole('button', { name: 'Set up' }).click();
    await heading('Recovery codes');
    await look('account-codes');
    const recovery = await page.locator('.codes code').first().textContent();
    await signOut(page);
    await signIn(page, root, OWNER);
    await heading('Second factor');
    await look('sign-in-second');
    await page.getByLabel('Code of your authenticator app').fill(code(key, 1));
    await page.getByRole('button', { name: 'Sign in' }).first().click();
    await heading('Dashboard');

    // A passkey: made, used, refused where its user is not verified.
    const device = await authenticator(page);
    await page.goto(`${root}/account/passkeys/new`);
    await look('account-passkey');
    await page.getByLabel('Name').fill('This laptop');
    await page.getByRole('button', { name: 'Add a passkey' }).click();
    await heading('Your account');
    await page.getByText('The passkey is added').waitFor();
    await look('account-full');
    await signOut(page);
    await page.getByRole('link', { name: 'Sign in with a passkey' }).click();
    await heading('Sign in with a passkey');
    await look('sign-in-passkey');
    await page.getByRole('button', { name: 'Continue' }).click();
    await heading('Dashboard');
    await signOut(page);
    await device.verified(false);
    await page.getByRole('link', { name: 'Sign in with a passkey' }).click();
    await page.getByRole('button', { name: 'Continue' }).click();
    await page.getByText('No passkey was used').waitFor({ timeout: 20000 });
    await device.verified(true);
    await signIn(page, root, OWNER);
    await heading('Second factor');
    await page.getByText('Use a recovery code').click();
    await page.getByLabel('Recovery code', { exact: true }).fill(recovery);
    await page.getByRole('button', { name: 'Sign in' }).last().click();
    await heading('Dashboard');
    await page.goto(`${root}/prove?next=/account`);
    await look('prove');
    await page.getByRole('button', { name: 'Use a passkey' }).click();
    await heading('Your account');

    // API token, single sign-on.
    await page.getByLabel('Name', { exact: true }).fill('Nightly export');
    await page.getByRole('button', { name: 'Make a token' }).click();
    await heading('New API token');
    await look('account-token');
    await page.goto(`${root}/settings/sign-in`);
    await look('single-sign-on');
    await page.getByRole('link', { name: 'Add a provider' }).click();
    await heading('Add a provider');
    await page.getByRole('radio', { name: /Another OpenID Connect/ }).check();
    await page.getByLabel('Name', { exact: true }).fill('Halden sign-in');
    await page.getByLabel('Issuer').fill('https://169.254.169.254');
    await page.getByLabel('Client ID').fill('tenantry');
    await page.getByLabel('Client secret').fill('x');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.getByText('private network').waitFor();
    await look('single-sign-on-errors');
    await page.getByRole('radio', { name: /Microsoft Entra ID/ }).check();
    await page.getByLabel('Tenant ID').fill(installation.tenantId);
    await page.getByLabel('Client ID').fill(installation.clientId);
    await page.getByLabel('Client secret').fill(installation.secret);
    await page.getByRole('button', { name: 'Save' }).click();
    await heading('Single sign-on');
    // Each provider has a redirect URI of its own to register.
    await page.getByText(/\/sign-in\/callback\/[0-9a-f-]{36}/).waitFor();
    await look('single-sign-on-added');

    // What each of the three may see and do.
    const seen = {};
    for (const [role, link] of Object.entries(links)) {
      const person = await join_(browser, link);
      everybody.push(person);
      const at = async path => (await person.page.goto(`${root}${path}`)).status();
      seen[role] = {
        companies: (await at('/companies'), await person.page.locator('tbody a').allTextContents()),
        members: await at('/settings/members'),
        audit: await at('/settings/audit'),
        invite: await at('/settings/members/new'),
        newCompany: await at('/companies/new'),
        credentials: await at('/settings/integrations/entra/credentials/new'),
        jobs: await at('/jobs'),
      };
      await person.page.goto(`${root}/`);
      await person.look(`dashboard-${role}`);
    }
    const both = ['Contoso Bakery', 'Northwind Traders'];
    assert.deepEqual(seen, {
      auditor: { companies: both, members: 200, audit: 200, invite: 403, newCompany: 403, credentials: 403, jobs: 200 },
      technician: { companies: both, members: 200, audit: 200, invite: 403, newCompany: 403, credentials: 403, jobs: 200 },
      viewer: { companies: ['Contoso Bakery'], members: 403, audit: 403, invite: 403, newCompany: 403, credentials: 403, jobs: 200 },
    });
    await page.goto(`${root}/settings/members`);
    await look('members');
    await page.goto(`${root}/settings/audit`);
    await look('audit');

    // Removed, they are out at once.
    const technician = everybody[2];
    await page.goto(`${root}/settings/members`);
    await page.getByLabel('Remove technician@halden.example').click();
    await page.getByRole('button', { name: 'Remove', exact: true }).locator('visible=true').click();
    await page.getByText('The membership has ended').waitFor();
    await technician.page.goto(`${root}/companies`);
    await technician.heading('Sign in');
    for (const person of everybody) assert.deepEqual(person.problems, [], 'errors of script or policy');
    console.log('walk of people: passed');
  } catch (error) {
    await page.screenshot({ path: join(shots, 'failed-people.png'), fullPage: true }).catch(() => {});
    console.error(`walk of people failed at ${page.url()}`);
    throw error;
  } finally {
    for (const person of everybody) await person.context.close();
    installation.end();
  }
}
