// What all walks share: processes, an installation with its simulated cloud, and a look at a page.
import { spawn } from 'node:child_process';
import { mkdtempSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createRequire } from 'node:module';
import assert from 'node:assert/strict';

export const [binary, shots = join(dirname(new URL(import.meta.url).pathname), 'shots')] = process.argv.slice(2);
const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'];
export const PASSWORD = 'a long enough sentence';
mkdirSync(shots, { recursive: true });
export const counted = { looks: 0 };

/** Starts a process and waits until its output holds every pattern. */
export function start(args, patterns, folder) {
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

/** An installation of its own with a simulated cloud: `serve` on a free port, not set up yet. */
export async function install() {
  const folder = mkdtempSync(join(tmpdir(), 'tenantry-e2e-'));
  const sim = start(['sim', '--sim-listen', '127.0.0.1:0'],
    [/cloud: (\S+)/, /Tenant ID: (\S+)/, /Client ID: (\S+)/, /Client secret: (\S+)/, /graph = "(\S+)"/], folder);
  const [microsoft, tenantId, clientId, secret] = await sim.ready;
  writeFileSync(join(folder, 'tenantry.toml'),
    `[clouds.custom]\nlabel = "Simulated Microsoft cloud"\nlogin = "${microsoft}"\ngraph = "${microsoft}"\nlimits = "none"\n`);
  const server = start(['serve', '--listen', '127.0.0.1:0', '--data-dir', join(folder, 'data'), '--config', 'tenantry.toml'],
    [/listens on (\S+)\//, /Set up at: (\S+)/], folder);
  const [root, setup] = await server.ready;
  const end = () => {
    for (const { child } of [server, sim]) { child.removeAllListeners('exit'); child.kill('SIGKILL'); }
    rmSync(folder, { recursive: true, force: true });
  };
  return { folder, sim, server, microsoft, tenantId, clientId, secret, root, setup, end };
}

/** A page of a context of its own, the errors that it notes, and `look`. */
export async function open(browser, script) {
  const context = await browser.newContext({ javaScriptEnabled: script, reducedMotion: 'reduce', viewport: { width: 1440, height: 900 } });
  const page = await context.newPage();
  const problems = [];
  page.on('console', m => { if (m.type() === 'error' && !m.text().includes('status of 4')) problems.push(m.text()); });
  page.on('pageerror', e => problems.push(String(e)));
  const heading = text => page.getByRole('heading', { level: 1, name: text }).waitFor();

  /** axe, sideways scroll, and pictures of the page in light, dark and narrow. */
  async function look(name, at = page) {
    if (!script) return;
    for (const [theme, width] of [['light', 1440], ['dark', 1440], ['light', 390], ['dark', 390]]) {
      await at.setViewportSize({ width, height: width === 390 ? 844 : 900 });
      await at.emulateMedia({ colorScheme: theme });
      // Colours move for a moment when the theme changes.
      await at.waitForTimeout(150);
      await at.evaluate(() => Promise.allSettled(document.getAnimations()
        .filter(a => a instanceof CSSTransition).map(a => a.finished)));
      await at.evaluate(axe);
      const result = await at.evaluate(tags => globalThis.axe.run({ runOnly: tags }), TAGS);
      const found = result.violations.map(v => `${v.id}: ${v.nodes.map(n => n.target).join(' ; ')}`);
      assert.deepEqual(found, [], `${name} ${theme} ${width}`);
      const over = await at.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      assert.ok(over <= 0, `${name} scrolls sideways by ${over} px at ${width}`);
      await at.screenshot({ path: join(shots, `${name}-${width}-${theme}.png`) });
      counted.looks += 1;
    }
    await at.emulateMedia({ colorScheme: 'light' });
    await at.setViewportSize({ width: 1440, height: 900 });
  }

  /** Proves who it is whenever the product asks, as a person would. */
  async function proving() {
    await page.addLocatorHandler(page.getByRole('heading', { name: 'Confirm that it is you' }), async () => {
      await page.getByLabel('Your password').fill(PASSWORD);
      await page.getByRole('button', { name: 'Confirm' }).click();
    });
    await page.addLocatorHandler(page.getByRole('heading', { name: 'One moment' }), async () => {
      if (!script) await page.getByRole('button', { name: 'Continue' }).click();
    });
  }

  return { context, page, problems, heading, look, proving };
}
