import { describe, expect, it } from 'vitest';
import { SECRET_TOKEN } from '../../../src/http/openapi/login-operations.ts';
import { ADMIN_TOKEN, AS_ADMIN, logIn } from '../../support/admin.ts';
import { type Documented, readDocument } from '../../support/documented.ts';
import { CLIENT_TOKEN, MODEL } from '../../support/programs.ts';
import { send } from '../../support/send.ts';
import { type App, flow, startApp } from '../../support/start-app.ts';

const { operations, misfitsOfAnswer } = readDocument({
  models: [MODEL],
  servesPrograms: true,
  servesAdmin: true,
  allowClientPersona: true,
  chatPerMinute: 30,
  sessionsPerMinute: 6,
});

const start = () =>
  startApp({
    environment: {
      GOOGLE_API_KEY: 'g-one',
      ANAM_API_KEY: 'a-one',
      CLIENT_TOKENS: CLIENT_TOKEN,
      ADMIN_TOKEN,
      ALLOW_CLIENT_PERSONA: 'true',
      RATE_LIMIT_CHAT: '30',
      RATE_LIMIT_SESSIONS: '6',
    },
  });

const named = operations.map((one) => [`${one.method} ${one.path}`, one] as const);

describe.each(named)('%s', (_, { method, path, operation }) => {
  const requests = ways(operation).flatMap((way) =>
    examplesOf(operation).map((example) => [example.title, way, example] as const),
  );

  it.each(requests)(
    'accepts %s (%s) and answers as it says',
    async (_title, way, { query, body }) => {
      const app = await start();
      const address = `${fill(path, operation)}${query}`;
      const answer = await send(app, way === 'keyInQuery' ? withKey(address) : address, {
        method: method.toUpperCase(),
        headers: { ...JSON_BODY, ...(await credentials(app, way)) },
        ...(body === null ? {} : { body }),
      });
      const [success] = Object.keys(operation.responses);
      expect([answer.status, misfitsOfAnswer(operation, answer)]).toEqual([Number(success), []]);
    },
  );
});

const JSON_BODY = { 'content-type': 'application/json' };

type Operation = Documented['operation'];

interface Example {
  readonly title: string;
  readonly query: string;
  readonly body: string | null;
}

/** Each body, without a query and with each that there may be. */
function examplesOf({ requestBody, parameters }: Operation): Example[] {
  const bodies = Object.entries(requestBody?.content['application/json']?.examples ?? {});
  const queries = parameters
    .filter((parameter) => parameter.in === 'query')
    .flatMap(({ name, schema }) => (schema.enum ?? []).map((value) => `?${name}=${value}`));
  return ['', ...queries].flatMap((query): Example[] =>
    bodies.length === 0
      ? [{ title: `what has no body${query}`, query, body: null }]
      : bodies.map(([name, { value }]) => ({
          title: `${name}${query}`,
          query,
          body: JSON.stringify(value).replace(SECRET_TOKEN, ADMIN_TOKEN),
        })),
  );
}

const ways = ({ security }: Operation): string[] =>
  security.length === 0 ? ['nobody'] : security.flatMap((way) => Object.keys(way));

const fill = (path: string, { parameters }: Operation) =>
  parameters.reduce(
    (filled, { name, example }) => filled.replace(`{${name}}`, example ?? ''),
    path,
  );

const withKey = (address: string) =>
  `${address}${address.includes('?') ? '&' : '?'}key=${CLIENT_TOKEN}`;

async function credentials(app: App, way: string): Promise<Record<string, string>> {
  switch (way) {
    case 'clientToken':
      return { authorization: `Bearer ${CLIENT_TOKEN}` };
    case 'googleKey':
      return { 'x-goog-api-key': CLIENT_TOKEN };
    case 'adminToken':
      return AS_ADMIN;
    case 'adminCookie':
      return logIn(app);
    case 'sessionToken': {
      const { body } = await flow(app.clock, app.post('/api/anam/session-token', {}));
      return { authorization: `Bearer ${body.sessionToken}` };
    }
    default:
      return {};
  }
}
