import { Agent, request } from 'undici';
import { readConfig } from '../../src/config/config.ts';
import { PROVIDERS, startUnderstudy } from '../../src/server.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { createRandom, type Question } from './arrivals.ts';
import type { Contender, Surroundings } from './contender.ts';
import { GOOD_MODEL, keyText, modelsOf } from './scenario.ts';

const DRAIN_MS = 1000;

/**
 * The real server over real HTTP, every setting at its default but the address limit and what the
 * scenario sets.
 *
 * @param redisUrl used where a scenario has several instances
 */
export const createUnderstudy = (logLines: string[], redisUrl: string | null) =>
  async function start(surroundings: Surroundings): Promise<Contender> {
    const { scenario, clock, instance } = surroundings;
    const config = readConfig(environmentOf(surroundings, redisUrl), PROVIDERS);
    const destination = { write: (line: string) => void logLines.push(line) };
    const log = createLogger({ level: 'info', redact: config.redact, destination });
    const random = createRandom(scenario.seed + instance);
    const understudy = await startUnderstudy(config, { clock, random, log });
    const dispatcher = new Agent();
    const url = `http://127.0.0.1:${understudy.port}`;
    return {
      async ask(question, signal) {
        const { path, body } = requestFor(question);
        const asked = { method: 'POST', headers: HEADERS, body: JSON.stringify(body) } as const;
        const answer = await request(`${url}${path}`, { ...asked, signal, dispatcher });
        await answer.body.text();
        return answer.statusCode;
      },
      async stop() {
        await understudy.stop(DRAIN_MS);
        await dispatcher.destroy();
      },
    };
  };

const CLIENT_TOKEN = 'exhaustion-client-token';
const HEADERS = { 'content-type': 'application/json', 'x-goog-api-key': CLIENT_TOKEN };

/** Only Gemini's own protocol can ask for a search. */
function requestFor({ message, isSearch }: Question) {
  if (!isSearch) return { path: '/api/chat', body: { message } };
  const contents = [{ role: 'user', parts: [{ text: message }] }];
  return {
    path: `/v1beta/models/${GOOD_MODEL}:generateContent`,
    body: { contents, tools: [{ google_search: {} }] },
  };
}

function environmentOf(
  { scenario, baseUrl }: Surroundings,
  redisUrl: string | null,
): Record<string, string> {
  const { instances = 1, settings } = scenario;
  const keys = scenario.keys.flatMap(({ project, isLabelled = true }, index) => {
    const name = `GOOGLE_API_KEY_${index + 1}`;
    const label = project !== undefined && isLabelled ? [[`${name}_PROJECT`, project]] : [];
    return [[name, keyText(index)], ...label];
  });
  return {
    HOST: '127.0.0.1',
    PORT: '0',
    GOOGLE_BASE_URL: baseUrl,
    GOOGLE_MODELS: modelsOf(scenario).join(','),
    RATE_LIMIT_CHAT: '0',
    CLIENT_TOKENS: CLIENT_TOKEN,
    ...(instances > 1 && redisUrl !== null ? { REDIS_URL: redisUrl } : {}),
    ...Object.fromEntries(keys),
    ...settings,
  };
}
