import type { Caller, Failover } from '../failover/failover.ts';
import { ServiceError } from '../failover/service-error.ts';
import type { LiveSetup, LiveToken } from '../providers/gemini/gemini-live-token.ts';
import type { Client } from '../providers/provider.ts';
import type { Target } from '../shared/target.ts';
import { MINT_LIMITS, type ValueEnd, valueFrom } from './value-from.ts';

export interface LiveTokensOptions {
  readonly failover: Failover;
  readonly client: Client<LiveSetup, never, ValueEnd<LiveToken>>;
  readonly target: Target;
  readonly setup: LiveSetup;
}

export interface LiveTokens {
  /** The model of the sessions. */
  readonly model: string;
  /**
   * A token with which a browser may open one Live session. The server sets its model and its system prompt.
   *
   * @throws ServiceError
   */
  mint(caller: Caller): Promise<LiveToken>;
}

export const createLiveTokens = ({
  failover,
  client,
  target,
  setup,
}: LiveTokensOptions): LiveTokens => ({
  model: setup.model,
  async mint(caller) {
    try {
      return await valueFrom(failover, {
        operation: 'live_token',
        targets: [target],
        // Minting proves the key, but not that the model has quota left.
        reach: 'part',
        ...MINT_LIMITS,
        caller,
        question: setup,
        client,
      });
    } catch (error) {
      const isUnavailable = error instanceof ServiceError && error.code === 'model_unavailable';
      throw isUnavailable ? notForOurKeys(error) : error;
    }
  },
});

const notForOurKeys = (cause: ServiceError) =>
  new ServiceError(
    'model_unavailable',
    'None of the API keys may open a Live session with the model in GOOGLE_LIVE_MODEL.',
    { cause },
  );
