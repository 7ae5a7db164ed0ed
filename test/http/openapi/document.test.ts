import { Validator } from '@seriousme/openapi-schema-validator';
import { describe, expect, it } from 'vitest';
import { type AppOptions, createApp } from '../../../src/http/app.ts';
import { createLogger } from '../../../src/shared/logger.ts';
import { Secret } from '../../../src/shared/secret.ts';
import { modelTarget } from '../../../src/shared/target.ts';
import { ADMIN_TOKEN } from '../../support/admin.ts';
import { readDocument } from '../../support/documented.ts';
import { createFakeClock } from '../../support/fake-clock.ts';
import { CLIENT_TOKEN, MODEL, startForPrograms } from '../../support/programs.ts';
import { startApp } from '../../support/start-app.ts';

const SERVER = {
  models: [MODEL],
  servesPrograms: true,
  servesAdmin: true,
  allowClientPersona: false,
  chatPerMinute: 0,
  sessionsPerMinute: 0,
};

const NOTHING_MORE = { servesPrograms: false, servesAdmin: false };
const KINDS = [
  NOTHING_MORE,
  { servesPrograms: true, servesAdmin: false },
  { servesPrograms: false, servesAdmin: true },
  { servesPrograms: true, servesAdmin: true },
];

describe('the document of a server', () => {
  it.each(KINDS)('is valid OpenAPI 3.1 (%o)', async (kind) => {
    const validator = new Validator();
    const { document } = readDocument({ ...SERVER, ...kind });
    expect(await validator.validate(document)).toEqual({ valid: true });
    expect(validator.version).toBe('3.1');
  });

  it('is given out as it is, and the second time from memory', async () => {
    const app = await startForPrograms(null, undefined, { environment: { ADMIN_TOKEN } });
    const first = await app.get('/openapi.json');
    expect([first.status, first.headers.get('content-type')]).toEqual([
      200,
      'application/json; charset=utf-8',
    ]);
    expect(first.body).toEqual(readDocument(SERVER).document);
    expect((await app.get('/openapi.json')).text).toBe(first.text);
  });

  it('tells of its own settings: without tokens nothing that they open, with a limit the limit', async () => {
    const app = await startApp({ environment: { RATE_LIMIT_CHAT: '30' } });
    const { body } = await app.get('/openapi.json');
    expect(body).toEqual(readDocument({ ...SERVER, ...NOTHING_MORE, chatPerMinute: 30 }).document);
    expect(Object.keys(body.components.securitySchemes)).toEqual(['sessionToken']);
    const { responses } = body.paths['/api/chat'].post;
    expect(responses['429'].headers).toHaveProperty('retry-after');
    expect(responses['200'].headers).toHaveProperty('ratelimit');
    expect(body.paths['/api/session-token'].post.responses).not.toHaveProperty('429');
  });

  it.each(KINDS)('names every route that there is and no other (%o)', (kind) => {
    const documented = readDocument({ ...SERVER, ...kind }).operations.map(
      ({ method, path }) => `${method} ${path}`,
    );
    expect(documented.toSorted()).toEqual(routesOf(kind).toSorted());
  });

  it('calls every operation by a name of its own', () => {
    const ids = readDocument(SERVER).operations.map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('has examples of every request and answer, each of them as its schema says', () => {
    const { operations, misfitsOfContent } = readDocument({ ...SERVER, allowClientPersona: true });
    const contents = operations.flatMap(({ operation }) => [
      ...Object.values(operation.requestBody?.content ?? {}),
      ...Object.values(operation.responses).flatMap(({ content = {} }) => Object.values(content)),
    ]);
    expect(contents.filter(({ examples }) => Object.keys(examples).length === 0)).toEqual([]);
    const misfits = contents.flatMap((content) =>
      Object.entries(content.examples).flatMap(([name, { value }]) =>
        misfitsOfContent(content, value).map((misfit) => `${name}: ${misfit}`),
      ),
    );
    expect(misfits).toEqual([]);
  });
});

interface Route {
  readonly path: string | RegExp;
  readonly methods: Readonly<Record<string, boolean>>;
}

interface Layer {
  readonly route?: Route;
}

/** Every route of the app as `post /v1/models/{model}:countTokens`; not what refuses other methods. */
function routesOf({ servesPrograms, servesAdmin }: (typeof KINDS)[number]): string[] {
  const app = createApp({
    ...SERVER,
    chatTargets: [modelTarget('google', MODEL)],
    clientTokens: servesPrograms ? [new Secret('token', CLIENT_TOKEN)] : [],
    clock: createFakeClock(),
    log: createLogger({ level: 'silent', redact: (text) => text }),
    admin: servesAdmin ? { token: new Secret('token', ADMIN_TOKEN), view: {}, metrics: {} } : null,
    corsOrigins: [],
    trustProxy: 0,
    sharedStore: null,
    redis: null,
    mode: 'live',
  } as unknown as AppOptions);
  return (app.router.stack as unknown as Layer[])
    .flatMap(({ route }) => (route === undefined || isForAnyMethod(route) ? [] : [route]))
    .flatMap(({ path, methods }) =>
      templatesOf(path).flatMap((template) =>
        Object.keys(methods).map((method) => `${method} ${template}`),
      ),
    );
}

const isForAnyMethod = ({ methods }: Route) => Object.keys(methods).length > 1;

const templatesOf = (path: string | RegExp): string[] =>
  typeof path === 'string'
    ? [path.replace(/:(\w+)/g, '{$1}')]
    : alternatives(path.source.replace(/^\^|\$$/g, '').replaceAll('\\/', '/'));

/** `(?<model>[…]+)` is a parameter. */
const PARAMETER = /\(\?<(\w+)>\[[^()]*\)/g;
/** `(?:a|b)`, `(?<name>a|b)`, `(?:a)?` without a group in it. */
const GROUP = /\(\?(?::|<\w+>)([^()]*)\)(\??)/;

function alternatives(source: string): string[] {
  const plain = source.replace(PARAMETER, '{$1}');
  const group = GROUP.exec(plain);
  if (group === null) return [plain];
  const [whole, body = '', optional] = group;
  const choices = [...body.split('|'), ...(optional === '?' ? [''] : [])];
  return choices.flatMap((choice) => alternatives(plain.replace(whole, choice)));
}
