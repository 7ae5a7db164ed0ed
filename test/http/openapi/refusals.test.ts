import { describe, expect, it } from 'vitest';
import { ADMIN_TOKEN, logIn } from '../../support/admin.ts';
import { readDocument } from '../../support/documented.ts';
import { CLIENT_TOKEN, MODEL } from '../../support/programs.ts';
import { send } from '../../support/send.ts';
import { type App, flow, startApp } from '../../support/start-app.ts';
import type { Caller, Sent } from './caller.ts';
import { CALLERS, LIMIT } from './callers.ts';
import { refusalsOf } from './refusals-of.ts';

const { operations, misfitsOfAnswer } = readDocument({
  models: [MODEL],
  servesPrograms: true,
  servesAdmin: true,
  allowClientPersona: true,
  chatPerMinute: LIMIT,
  sessionsPerMinute: LIMIT,
});

const KEYS = { GOOGLE_API_KEY: 'g-one', ANAM_API_KEY: 'a-one' };

const start = (keys: Record<string, string>) =>
  startApp({
    environment: {
      ...keys,
      CLIENT_TOKENS: CLIENT_TOKEN,
      ADMIN_TOKEN,
      ALLOW_CLIENT_PERSONA: 'true',
      RATE_LIMIT_CHAT: String(LIMIT),
      RATE_LIMIT_SESSIONS: String(LIMIT),
      REQUEST_TIMEOUT_SECONDS: '2',
      ATTEMPT_TIMEOUT_SECONDS: '1',
      KEY_WAIT_SECONDS: '0',
    },
  });

const named = CALLERS.map((caller) => [`${caller.method} ${caller.path}`, caller] as const);

describe.each(named)('%s', (_, caller) => {
  const refused = refusalsOf(caller).map((one) => [one.status, one.why, one] as const);

  it.each(refused)(`answers ${caller.title} %i as it says: %s`, async (_status, _why, refusal) => {
    const app = await start(refusal.keys ?? KEYS);
    const ask = askerOf(app, caller, await credentialsOf(app, caller));
    if (refusal.fault !== undefined) app.standin.setFault(caller.key ?? '', refusal.fault);
    for (let turn = 0; turn < (refusal.after ?? 0); turn += 1) await ask(refusal.sent);
    const answer = await ask(refusal.sent);
    const operation = operationOf(caller);
    expect([answer.status, misfitsOfAnswer(operation, answer)]).toEqual([refusal.status, []]);
    const code = codeIn(answer.text);
    if (code !== null) expect(operation.responses[answer.status]?.description).toContain(code);
  });
});

describe('the refusals that are documented', () => {
  it('have all been seen, but for bugs of ours and what the stand-in cannot do', () => {
    const seen = new Set(
      CALLERS.flatMap((caller) =>
        refusalsOf(caller).map(({ status }) => `${operationOf(caller).operationId} ${status}`),
      ),
    );
    const unseen = operations.flatMap(({ operation: { operationId, responses } }) =>
      Object.keys(responses)
        .filter((status) => !['200', '204', '304', '500', 'default'].includes(status))
        .map((status) => `${operationId} ${status}`)
        .filter((refusal) => !seen.has(refusal)),
    );
    expect(unseen).toEqual(['passMetrics 502', 'passMetrics 504']);
  });
});

async function credentialsOf(app: App, { mints, logsIn, headers = {} }: Caller) {
  if (logsIn === true) return logIn(app);
  if (mints !== true) return headers;
  const { body } = await flow(app.clock, app.post('/api/session-token', {}));
  return { authorization: `Bearer ${body.sessionToken}` };
}

const askerOf =
  (app: App, caller: Caller, credentials: Record<string, string>) =>
  (sent: Sent = {}) =>
    send(app, fill(caller.path, sent), {
      method: sent.method ?? caller.method.toUpperCase(),
      headers: { 'content-type': 'application/json', ...credentials, ...sent.headers },
      redirect: 'manual',
      ...(caller.body === undefined ? {} : { body: sent.body ?? JSON.stringify(caller.body) }),
    });

const fill = (path: string, { model = MODEL, key = 'google', query = '' }: Sent) =>
  path.replace('{model}', model).replace('{id}', key) + query;

function operationOf({ method, path }: Caller) {
  const found = operations.find((one) => one.method === method && one.path === path);
  if (found === undefined) throw new Error(`${path} is not documented`);
  return found.operation;
}

/** Of our own form; the others have no code of ours. */
function codeIn(text: string): string | null {
  return /^\{"error":\{"code":"(\w+)"/.exec(text)?.[1] ?? null;
}
