import { readFileSync } from 'node:fs';
import { Validator } from '@seriousme/openapi-schema-validator';
import { Ajv2020 } from 'ajv/dist/2020.js';
import { expect, it } from 'vitest';
import { type AdminHttpOptions, createAdminHttp } from '../../src/http/admin/admin-routes.ts';
import { type AppOptions, createApp } from '../../src/http/app.ts';
import { ERROR_CODES } from '../../src/http/errors.ts';
import { PROVIDERS } from '../../src/server.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { Secret } from '../../src/shared/secret.ts';
import { modelTarget } from '../../src/shared/target.ts';
import { ADMIN_TOKEN, AS_ADMIN, logIn } from '../support/admin.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { CLIENT_TOKEN } from '../support/programs.ts';
import { type Answered, send } from '../support/send.ts';
import { type App, flow, startApp } from '../support/start-app.ts';

const TOKENS = { CLIENT_TOKENS: CLIENT_TOKEN, ADMIN_TOKEN };
const KEYS = { GOOGLE_API_KEY: 'g-one', GOOGLE_API_KEY_2: 'g-two', ANAM_API_KEY: 'a-one' };
const SETTINGS = {
  ...TOKENS,
  ALLOW_CLIENT_PERSONA: 'true',
  GOOGLE_LIVE_MODEL: 'gemini-3.8-live',
  CHAT_RESUME: 'true',
  RATE_LIMIT_CHAT: '500',
  RATE_LIMIT_SESSIONS: '500',
};

it.each([{}, { CLIENT_TOKENS: CLIENT_TOKEN }, { ADMIN_TOKEN }, SETTINGS])(
  'the document is valid OpenAPI 3.1 (%o)',
  async (environment) => {
    const { document, operations } = await read(await startApp({ environment }));
    const validator = new Validator();
    expect(await validator.validate(structuredClone(document))).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
    const ids = operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  },
);

it('the document is written once, as the settings are', async () => {
  const app = await startApp({ environment: { RATE_LIMIT_CHAT: '30' } });
  const { headers, text, body } = await app.get('/openapi.json');
  expect(headers.get('content-type')).toBe('application/json; charset=utf-8');
  expect((await app.get('/openapi.json')).text).toBe(text);
  expect(Object.keys(body.components.securitySchemes)).toEqual(['sessionToken']);
  const { responses } = body.paths['/api/chat'].post;
  expect(responses['429'].headers).toHaveProperty('retry-after');
  expect(responses['200'].headers).toHaveProperty('ratelimit');
  expect(body.paths['/api/anam/session-token'].post.responses).not.toHaveProperty('429');
});

it('every route that is served is documented, and every documented route is served', async () => {
  const app = await startApp({ environment: SETTINGS });
  const { operations } = await read(app);
  expect(new Set(operations.map(({ path }) => path)).size).toBe(countServedPaths());
  const methodsOf = (wanted: string) =>
    operations
      .filter(({ path }) => path === wanted)
      .flatMap(({ method }) => (method === 'get' ? ['GET', 'HEAD'] : [method.toUpperCase()]))
      .concat('OPTIONS')
      .toSorted();
  for (const documented of operations) {
    const { path, operation } = documented;
    const { status, headers } = await send(app, firstUrlOf(documented), {
      method: 'PUT',
      headers: await credentials(app, operation),
    });
    expect([path, status]).toEqual([path, 405]);
    const allowed = headers.get('allow')?.split(', ').toSorted();
    expect([path, allowed]).toEqual([path, methodsOf(path)]);
  }
});

it('each example is accepted, with each documented token, and answered as documented', async () => {
  const start = () => startApp({ environment: { ...SETTINGS, ...KEYS } });
  const { operations, misfitsOf } = await read(await start());
  const misfits: string[] = [];
  /** One for each kind of token: a key can be added once. */
  const apps = new Map<string | null, App>();
  for (const { path, method, operation, url, way, name, body } of operations.flatMap(requestsFor)) {
    const app = apps.get(way) ?? (await start());
    apps.set(way, app);
    await prepareFor(path, app);
    const answer = await send(app, way === 'keyInQuery' ? withKey(url) : url, {
      method: method.toUpperCase(),
      headers: { ...JSON_BODY, ...(await credentials(app, operation, way)) },
      ...(body === null ? {} : { body }),
    });
    const found = misfitsOf(path, method, answer);
    if (answer.status >= 300) found.push(answer.text);
    misfits.push(...found.map((misfit) => `${url} ${way} ${name} ${answer.status}: ${misfit}`));
  }
  expect(misfits).toEqual([]);
});

/** What the example of a path names is there. */
async function prepareFor(path: string, app: App): Promise<void> {
  if (path === '/api/requests/{id}') {
    await app.post('/api/chat', { message: 'Hi' }, { 'x-request-id': 'my-request-1' });
  }
  if (path.startsWith('/api/clients')) await makeOnlyClient(app, path);
}

/** The client that the path names; none where it names none, so that the examples can make theirs. */
async function makeOnlyClient(app: App, path: string): Promise<void> {
  const { body } = await app.get('/api/clients', AS_ADMIN);
  for (const { name, origin } of body.clients) {
    const url = `/api/clients/${name}`;
    if (origin === 'added') await send(app, url, { method: 'DELETE', headers: AS_ADMIN });
  }
  if (path.includes('{name}')) await app.post('/api/clients', { name: 'shop' }, AS_ADMIN);
}

it('each refusal is as documented', async () => {
  const app = await startApp({ environment: SETTINGS });
  const { operations, misfitsOf } = await read(app);
  const misfits: string[] = [];
  for (const documented of operations) {
    const { path, method, operation } = documented;
    const [[, body] = ['', null]] = bodiesOf(operation);
    // A program's token in the place where Google's clients put it: `/v1/models` then asks Google.
    const way = waysOf(operation).find((one) => one === 'googleKey');
    const known = await credentials(app, operation, way);
    const expectRefusal = async (status: number, sent: RequestInit) => {
      const answer = await send(app, firstUrlOf(documented), {
        method: method.toUpperCase(),
        ...(body === null ? {} : { body }),
        ...sent,
      });
      const found = misfitsOf(path, method, answer);
      if (answer.status !== status) found.push(`${answer.status} instead of ${status}`);
      misfits.push(...found.map((misfit) => `${path} ${status}: ${misfit}`));
    };
    await expectRefusal(405, { method: 'PUT', headers: known });
    if (operation.security.length > 0) await expectRefusal(401, { headers: JSON_BODY });
    if (operation.responses['503']?.description.includes('no_keys_configured') === true) {
      await expectRefusal(503, { headers: { ...JSON_BODY, ...known } });
    }
    if (body === null) continue;
    await expectRefusal(415, { headers: { ...JSON_BODY, ...known, 'content-encoding': 'no' } });
    const isOfAdmin = operation.security.some((one) => 'adminToken' in one);
    const tooLarge = JSON.stringify('x'.repeat(isOfAdmin ? 2_200_000 : 21_000_000));
    await expectRefusal(413, { headers: { ...JSON_BODY, ...known }, body: tooLarge });
  }
  expect(misfits).toEqual([]);
});

it('the documented error codes are the closed set', async () => {
  const { operations } = await read(await startApp({ environment: SETTINGS }));
  const codes = operations.flatMap(({ operation: { responses } }) =>
    Object.values(responses).flatMap(({ description }) =>
      [...description.matchAll(/^`(\w+)`: /gm)].map(([, code]) => code),
    ),
  );
  expect([...new Set(codes)].toSorted()).toEqual(ERROR_CODES.toSorted());
});

it('the table of routes in the docs names every route, and no other', async () => {
  const { operations } = await read(await startApp({ environment: SETTINGS }));
  const [, section = ''] = readFileSync('docs/protocols.md', 'utf8').split(/^## /m);
  const named = [...section.matchAll(/`(GET|POST|PATCH|DELETE) ([^`]+)`/g)].map(
    ([, method = '', path]) => `${method.toLowerCase()} ${path}`,
  );
  const served = operations.map(({ method, path }) => `${method} ${path}`);
  expect(named.toSorted()).toEqual(served.toSorted());
});

const JSON_BODY = { 'content-type': 'application/json' };

interface Operation {
  readonly operationId: string;
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly content: Readonly<Record<string, Content>> };
  readonly responses: Readonly<Record<string, { readonly description: string }>>;
  readonly security: readonly Readonly<Record<string, unknown>>[];
}

interface Parameter {
  readonly name: string;
  readonly in: string;
  readonly schema: { readonly enum?: readonly string[]; readonly examples?: readonly string[] };
}

interface Content {
  readonly examples: Readonly<Record<string, { readonly value: unknown }>>;
}

/** The document of a server, and what of its answers is not as documented. */
async function read(app: App) {
  const { body: document } = await app.get('/openapi.json');
  const formats = { 'date-time': true, date: true } as const;
  const ajv = new Ajv2020({ strict: false, allErrors: true, validateSchema: false, formats });
  ajv.addSchema(document, 'document');
  const operations = Object.entries<Record<string, Operation>>(document.paths).flatMap(
    ([path, methods]): Documented[] =>
      Object.entries(methods).map(([method, operation]) => ({ path, method, operation })),
  );

  function misfitsOf(path: string, method: string, answer: Answered): string[] {
    const { responses } = document.paths[path][method];
    const code = responses[answer.status] === undefined ? 'default' : String(answer.status);
    if (responses[code] === undefined) return [`status ${answer.status}`];
    const { headers = {}, content = {} } = responses[code];
    const missing = Object.entries<{ required?: boolean }>(headers)
      .filter(([name, { required }]) => required === true && !answer.headers.has(name))
      .map(([name]) => `no ${name}`);
    const place = ['paths', path, method, 'responses', code, 'content'];
    return [...missing, ...misfitsOfBody(content, place, answer)];
  }

  function misfitsOfBody(content: object, place: readonly string[], answer: Answered): string[] {
    const types = Object.keys(content);
    if (types.length === 0 && answer.text === '') return [];
    const [type = ''] = (answer.headers.get('content-type') ?? '').split(';', 1);
    if (!types.includes(type)) return [`as ${type}`];
    const fits = ajv.getSchema(`document#/${[...place, type, 'schema'].map(escaped).join('/')}`);
    const value = type === 'application/json' ? JSON.parse(answer.text) : answer.text;
    return fits?.(value) === true ? [] : [ajv.errorsText(fits?.errors)];
  }

  return { document, operations, misfitsOf };
}

const escaped = (step: string) =>
  encodeURIComponent(step.replaceAll('~', '~0').replaceAll('/', '~1'));

interface Documented {
  readonly path: string;
  readonly method: string;
  readonly operation: Operation;
}

/** With each kind of token, each example of a body, and each value that a parameter may have. */
const requestsFor = (documented: Documented) =>
  waysOf(documented.operation).flatMap((way) =>
    bodiesOf(documented.operation).flatMap(([name, body]) =>
      urlsOf(documented).map((url) => ({ ...documented, url, way, name, body })),
    ),
  );

function bodiesOf({ requestBody }: Operation): [string, string | null][] {
  const examples = Object.entries(requestBody?.content['application/json']?.examples ?? {});
  if (examples.length === 0) return [['', null]];
  return examples.map(([name, { value }]) => [
    name,
    JSON.stringify(value).replace('"token":"…"', `"token":"${ADMIN_TOKEN}"`),
  ]);
}

function urlsOf({ path, operation: { parameters = [] } }: Documented): string[] {
  let urls = [path];
  for (const { name, in: place, schema } of parameters) {
    const values = schema.enum ?? schema.examples ?? [];
    const withValue = (url: string, value: string) =>
      place === 'path' ? url.replace(`{${name}}`, value) : `${url}?${name}=${value}`;
    const further = urls.flatMap((url) => values.map((value) => withValue(url, value)));
    urls = place === 'path' ? further : [...urls, ...further.filter((url) => !/\?.*\?/.test(url))];
  }
  return urls;
}

const firstUrlOf = (documented: Documented) => urlsOf(documented)[0] ?? documented.path;

const waysOf = ({ security }: Operation): string[] =>
  security.length === 0 ? ['open'] : security.flatMap((way) => Object.keys(way));

const withKey = (url: string) => `${url}${url.includes('?') ? '&' : '?'}key=${CLIENT_TOKEN}`;

/** One for each app: logins are limited. */
const cookies = new WeakMap<App, ReturnType<typeof logIn>>();

function cookieOf(app: App) {
  const cookie = cookies.get(app) ?? logIn(app);
  cookies.set(app, cookie);
  return cookie;
}

async function credentials(
  app: App,
  operation: Operation,
  way = waysOf(operation)[0] ?? 'open',
): Promise<Record<string, string>> {
  switch (way) {
    case 'clientToken':
      return { authorization: `Bearer ${CLIENT_TOKEN}` };
    case 'anthropicKey':
      return { 'x-api-key': CLIENT_TOKEN };
    case 'googleKey':
      return { 'x-goog-api-key': CLIENT_TOKEN };
    case 'adminToken':
      return AS_ADMIN;
    case 'adminCookie':
      return cookieOf(app);
    case 'sessionToken': {
      const { body } = await flow(app.clock, app.post('/api/anam/session-token', {}));
      return { authorization: `Bearer ${body.sessionToken}` };
    }
    default:
      return {};
  }
}

function countServedPaths(): number {
  const app = createApp({
    clients: { find: () => null },
    chatTargets: [modelTarget('google', 'a-model')],
    embeddingTargets: [],
    modelAliases: new Map(),
    chatTools: [],
    clock: createFakeClock(),
    log: createLogger({ level: 'silent', redact: (text) => text }),
    admin: createAdminHttp({
      token: new Secret('token', ADMIN_TOKEN),
      view: { targets: [modelTarget('google', 'a-model')] },
      providers: PROVIDERS,
      metrics: {},
      sharedStore: null,
      clock: createFakeClock(),
      modelNames: ['a-model'],
    } as unknown as AdminHttpOptions),
    chatPerMinute: 0,
    sessionsPerMinute: 0,
    corsOrigins: [],
    trustProxy: 0,
    sharedStore: null,
    redis: null,
    mode: 'live',
  } as unknown as AppOptions);
  return app.router.stack.filter(({ route }) => route !== undefined).length;
}
