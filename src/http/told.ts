import type { ServerResponse } from 'node:http';

/** Who was answered, and what a refusal told them, for its line in the log. */
export interface Told {
  /** The id of the token that a program has brought. */
  readonly client?: string;
  readonly code?: string;
  readonly retryAfterSeconds?: number;
}

const toldByAnswer = new WeakMap<ServerResponse, Told>();

export const rememberTold = (response: ServerResponse, told: Told) =>
  void toldByAnswer.set(response, { ...toldByAnswer.get(response), ...told });

export const toldTo = (response: ServerResponse) => toldByAnswer.get(response);
