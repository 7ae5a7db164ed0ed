import { GoogleGenerativeAI } from '@google/generative-ai';
import type { Question } from './arrivals.ts';
import type { Contender, Surroundings } from './contender.ts';
import { keyText, modelsOf } from './scenario.ts';

const HOUR = 3_600_000;

/**
 * The pool of the tutorials: round-robin, whatever looks like quota parks the key for an hour, every
 * other error goes on to the next key, each key at most once for a request. It knows one model, waits
 * for nothing, and answers 503 when nothing is left. Called directly, so it pays for no HTTP of its own.
 */
export async function startUsualPool({
  scenario,
  clock,
  baseUrl,
}: Surroundings): Promise<Contender> {
  const keys = scenario.keys.map((_, index) => ({ text: keyText(index), parkedUntil: 0 }));
  const [model = ''] = modelsOf(scenario);
  let turn = 0;

  async function isAnsweredWith(key: (typeof keys)[number], question: Question): Promise<boolean> {
    try {
      await generate(key.text, model, question, baseUrl);
      return true;
    } catch (error) {
      if (looksLikeQuota(error)) key.parkedUntil = clock.now() + HOUR;
      return false;
    }
  }

  return {
    async ask(question, signal) {
      const first = turn++ % keys.length;
      for (const key of [...keys.slice(first), ...keys.slice(0, first)]) {
        // For a caller who has gone it asks nobody any more, so that nothing outlives its scenario.
        if (signal.aborted || key.parkedUntil > clock.now()) continue;
        if (await isAnsweredWith(key, question)) return 200;
      }
      return 503;
    },
    async stop() {},
  };
}

async function generate(
  key: string,
  model: string,
  { message, isSearch }: Question,
  baseUrl: string,
) {
  const client = new GoogleGenerativeAI(key).getGenerativeModel({ model }, { baseUrl });
  const { response } = await client.generateContent({
    contents: [{ role: 'user', parts: [{ text: message }] }],
    ...(isSearch ? { tools: [{ googleSearchRetrieval: {} }] } : {}),
  });
  return response.text();
}

const looksLikeQuota = (error: unknown) => /\b429\b|quota|exhausted/i.test(String(error));
