import type { Caller } from '../failover/failover.ts';
import { modelNotServed, refusedByProvider, ServiceError } from '../failover/service-error.ts';
import type { RelayRequest } from '../providers/gemini/gemini-relay.ts';
import type { ChatTurn } from '../shared/chat.ts';
import { asText, isJsonObject, parseJson } from '../shared/json.ts';
import type { ServedModels } from '../shared/target.ts';
import { resourcesOf, shapeOfTurn } from './chat.ts';
import type { Relay, RelayWriter } from './relay.ts';

/**
 * Counts the input tokens of a turn as the provider counts them. It uses no quota, and works while all quota is
 * spent.
 *
 * @param model one of the served models
 * @throws ServiceError
 */
export type CountTokens = (turn: ChatTurn, model: string, caller: Caller) => Promise<number>;

export const createTokenCount =
  (
    relay: Relay,
    served: Pick<ServedModels, 'has' | 'keys'>,
    toRequest: (turn: ChatTurn, model: string) => RelayRequest,
  ): CountTokens =>
  async (turn, model, caller) => {
    if (!served.has(model)) throw modelNotServed(model, served.keys());
    const answer = new CollectedAnswer();
    const call = {
      operation: 'count_tokens',
      request: toRequest(turn, model),
      requestFor: (name: string) => toRequest(turn, name),
      model,
      isMetered: false,
      comesWhole: false,
      resources: resourcesOf(turn),
      shape: () => shapeOfTurn(turn),
    } as const;
    const refusal = await relay(call, caller, answer);
    if (refusal !== null) throw refused(refusal.body);
    const { totalTokens } = answer.value;
    if (typeof totalTokens === 'number') return totalTokens;
    throw new ServiceError('upstream_failed', 'The provider did not count the tokens.');
  };

/** The answer has a few hundred bytes. */
const MAX_BYTES = 65_536;

class CollectedAnswer implements RelayWriter {
  #text = '';

  begin(): void {}

  write(bytes: Buffer): boolean {
    if (this.#text.length < MAX_BYTES) this.#text += bytes.toString('latin1');
    return true;
  }

  end(): void {}

  get value(): Readonly<Record<string, unknown>> {
    const value = parseJson(this.#text);
    return isJsonObject(value) ? value : {};
  }
}

/** @param body in Google's form */
function refused(body: string): ServiceError {
  const value = parseJson(body);
  const error = isJsonObject(value) && isJsonObject(value.error) ? value.error : {};
  return refusedByProvider(asText(error.message) || 'it gave no reason.');
}
