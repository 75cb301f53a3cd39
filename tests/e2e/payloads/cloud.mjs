// The simulated cloud behind a proxy that replaces the texts which people of a directory choose.
import { createSign, generateKeyPairSync } from 'node:crypto';
import { createServer, request as send } from 'node:http';
import { PAYLOADS, RUN, domain, text } from './texts.mjs';

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
export class Cloud {
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
