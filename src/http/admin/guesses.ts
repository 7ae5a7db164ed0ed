import type { Request } from 'express';
import {
  type IncrementResponse,
  ipKeyGenerator,
  MemoryStore,
  type Options,
} from 'express-rate-limit';
import type { Logger } from '../../shared/logger.ts';
import type { SharedStore } from '../../shared/shared-store.ts';
import { HttpError } from '../http-error.ts';
import { SharedHits } from '../shared-hits.ts';

const WINDOW_MS = 60_000;
const MAX_WRONG = 10;
/** So many addresses are remembered that have shown the token. */
const MAX_KNOWN = 1000;

/**
 * So many wrong tokens a minute one address may try; then it is told nothing for a while, not even of
 * a right one. Where the token came from before, a right one goes on being right: somebody else's guesses
 * from there would otherwise keep whoever watches the server out.
 */
export interface Guesses {
  /** @throws HttpError 401 for a wrong token, 429 when there were too many */
  judge(request: Request, isRight: boolean): Promise<void>;
}

export function createGuesses(log: Logger, sharedStore: SharedStore | null): Guesses {
  const store = new MemoryStore();
  store.init({ windowMs: WINDOW_MS } as Options);
  // Wrong ones, wherever they were tried; a right one is nobody else's business.
  const everywhere = sharedStore === null ? null : new SharedHits(sharedStore.counter('guesses'));
  everywhere?.init({ windowMs: WINDOW_MS } as Options);
  const known = new Set<string>();
  const remember = (address: string) => {
    known.delete(address);
    known.add(address);
    for (const oldest of known) if (known.size > MAX_KNOWN) known.delete(oldest);
  };
  async function wrong(address: string): Promise<HttpError> {
    await everywhere?.increment(address);
    return new HttpError(401, 'unauthorized', 'This token is wrong.');
  }
  return {
    async judge({ ip }, isRight) {
      const address = ipKeyGenerator(ip ?? '');
      const { totalHits, resetTime } = more(
        await store.increment(address),
        everywhere?.known(address) ?? null,
      );
      if (totalHits === MAX_WRONG + 1) log.warn({ address }, 'too many wrong admin tokens');
      const isHeard = totalHits <= MAX_WRONG || (isRight && known.has(address));
      if (!isHeard) throw tooMany(resetTime);
      if (!isRight) throw await wrong(address);
      remember(address);
      await store.decrement(address);
    },
  };
}

/** What is known of everywhere does not have this one in it yet. */
function more(here: IncrementResponse, everywhere: IncrementResponse | null): IncrementResponse {
  if (everywhere === null || everywhere.totalHits < here.totalHits) return here;
  return { ...everywhere, totalHits: everywhere.totalHits + 1 };
}

function tooMany(resetTime: Date | undefined): HttpError {
  const ms = (resetTime?.getTime() ?? 0) - Date.now();
  const seconds = Math.max(1, Math.ceil(ms / 1000));
  const message = `Too many wrong tokens from this address. Try again in ${seconds} seconds.`;
  return new HttpError(429, 'rate_limited', message, { retryAfterSeconds: seconds });
}
