import type { Operation } from '../failover/trace.ts';
import { SERVICES, type Service, UNMETERED_LANE } from '../shared/api-key.ts';

export type Models = Readonly<Record<Service, readonly string[]>>;

/** A service and one of the models that it has keys for. No caller can add one. */
export interface Lane {
  readonly service: Service;
  readonly model: string;
}

export const lanesOf = (models: Models): readonly Lane[] =>
  SERVICES.flatMap((service) => models[service].map((model) => ({ service, model })));

/** Whether there is a quota to run out of. */
export const isMetered = ({ model }: Lane) => model !== UNMETERED_LANE;

/** What is asked for in a lane. */
export function operationsOf(lane: Lane): readonly Operation[] {
  if (lane.service === 'anam') return ['session_token', 'session_start'];
  return isMetered(lane) ? ['chat', 'generate_content'] : ['count_tokens', 'list_models'];
}
