import { Agent, request } from 'undici';
import { readConfig } from '../../src/config/config.ts';
import { PROVIDERS, startUnderstudy } from '../../src/server.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { createRandom } from './arrivals.ts';
import type { Contender, Surroundings } from './contender.ts';
import { keyText, modelsOf, type Scenario } from './scenario.ts';

const DRAIN_MS = 1000;

/** The real server over real HTTP, every setting at its default but the address limit. */
export const createUnderstudy = (logLines: string[]) =>
  async function start({ scenario, clock, baseUrl }: Surroundings): Promise<Contender> {
    const config = readConfig(environmentOf(scenario, baseUrl), PROVIDERS);
    const destination = { write: (line: string) => void logLines.push(line) };
    const log = createLogger({ level: 'info', redact: config.redact, destination });
    const random = createRandom(scenario.seed);
    const understudy = await startUnderstudy(config, { clock, random, log });
    const dispatcher = new Agent();
    const url = `http://127.0.0.1:${understudy.port}/api/chat`;
    return {
      async ask(message, signal) {
        const body = JSON.stringify({ message });
        const answer = await request(url, { method: 'POST', headers, body, signal, dispatcher });
        await answer.body.text();
        return answer.statusCode;
      },
      async stop() {
        await understudy.stop(DRAIN_MS);
        await dispatcher.destroy();
      },
    };
  };

const headers = { 'content-type': 'application/json' };

function environmentOf(scenario: Scenario, baseUrl: string): Record<string, string> {
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
    ...Object.fromEntries(keys),
  };
}
