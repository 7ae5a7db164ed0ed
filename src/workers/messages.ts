/** How a call or a question went. What an answer holds has to be something that JSON can say. */
export type Outcome =
  | { readonly ok: true; readonly value?: unknown }
  | { readonly ok: false; readonly why: string };

/** What a worker says to its primary. Ids are the sender's own. */
export type FromWorker =
  | {
      readonly kind: 'call';
      readonly id: number;
      readonly topic: string;
      readonly payload: unknown;
    }
  | {
      readonly kind: 'ask';
      readonly id: number;
      readonly topic: string;
      readonly question: unknown;
    }
  /** The answer to another worker's question. */
  | {
      readonly kind: 'reply';
      readonly to: number;
      readonly id: number;
      readonly outcome: Outcome;
    };

/** What a primary says to a worker. */
export type FromPrimary =
  | { readonly kind: 'called'; readonly id: number; readonly outcome: Outcome }
  /** To so many others the question has gone. */
  | { readonly kind: 'asked'; readonly id: number; readonly count: number }
  /** What one of them answers. */
  | { readonly kind: 'reply'; readonly id: number; readonly outcome: Outcome }
  /** Another worker's question. */
  | {
      readonly kind: 'question';
      readonly from: number;
      readonly id: number;
      readonly topic: string;
      readonly question: unknown;
    }
  | { readonly kind: 'news'; readonly topic: string; readonly payload: unknown }
  /** Let every answer out, then end. */
  | { readonly kind: 'leave'; readonly farewellMs: number };

/** The line to the primary. What is said on one that is cut is lost. */
export interface Line {
  isOpen(): boolean;
  send(message: FromWorker): void;
}

/** Runs what somebody asked for; its failure is an outcome too. */
export async function outcomeOf(
  run: ((asked: unknown) => unknown) | undefined,
  asked: unknown,
): Promise<Outcome> {
  if (run === undefined) return { ok: false, why: 'nobody answers to this' };
  try {
    return { ok: true, value: await run(asked) };
  } catch (error) {
    return { ok: false, why: error instanceof Error ? error.message : String(error) };
  }
}
