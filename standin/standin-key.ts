import type { Fault } from './fault.ts';

/** The providers that there is a stand-in for. */
export type Service = 'google' | 'anam';

/** One key that the stand-in knows; every other key is answered as an invalid one. */
export interface StandinKey {
  readonly key: string;
  readonly service: Service;
  /** Default: the key itself. Keys of one project share quota windows; for Anam it is the account. */
  readonly project?: string;
  /** Google: the limits of every model that `modelLimits` does not name. Default: unlimited. */
  readonly limits?: Limits;
  readonly modelLimits?: Readonly<Record<string, Limits>>;
  /**
   * Google: what is stored in the key's project, `cachedContents/abc` and `files/xyz`, for every
   * key of it. Requests that use anything else are refused. Default: none.
   */
  readonly resources?: readonly string[];
  /**
   * Google: a request with search grounding gets the 429 that names no quota, whatever is left for
   * others, as in a project without billing. Default: false.
   */
  readonly refusesSearch?: boolean;
  /** Anam: of several keys of one account, the first that says something decides. */
  readonly account?: AnamAccountShape;
  /** What this key's calls fail with from the start. */
  readonly fault?: Fault;
  readonly answer?: AnswerShape;
}

/**
 * Quota of one model in one project: requests a minute, input tokens a minute, requests a day.
 * Left out means unlimited; 0 is Google's "limit: 0", no quota at all. A refused request counts
 * against none of them.
 */
export interface Limits {
  readonly rpm?: number;
  readonly tpm?: number;
  readonly rpd?: number;
}

export interface AnswerShape {
  /** Default 3: the events of a streamed answer's text; a unary one takes as long as these would. */
  readonly chunks?: number;
  /** Default 0, in the clock's time whatever the speed. */
  readonly firstChunkMs?: number;
  /** Default 0: between two chunks. At 0 all chunks leave in one write. */
  readonly chunkMs?: number;
  /** Default: made from the last user message. Padded when shorter than its chunks are many. */
  readonly text?: string;
  /**
   * Google: what is called where the request offers functions and its last content is no result
   * of one: an event for each, after those of the text. Unless `text` is given, there is none.
   */
  readonly functionCalls?: readonly FunctionCall[];
  /** Google: what the model thinks, in two events before the text, where the request includes thoughts. */
  readonly thoughts?: string;
  /** Google: an image in an event of its own after the text, in base64. */
  readonly image?: { readonly mimeType: string; readonly data: string };
  /** Google: the pages that the answer is based on, with the last event, where the request may search. */
  readonly sources?: readonly { readonly uri: string; readonly title?: string }[];
  /** Google: input tokens that were cached. Default: none. */
  readonly cachedTokens?: number;
  /** Google: the model that answers. Default: the one that was asked for. */
  readonly modelVersion?: string;
}

/** What of a request an answer may depend on. */
export interface Asked {
  readonly lastUserText: string;
  /** The names of the functions that are offered. */
  readonly functions: readonly string[];
}

/** How every answer looks, or each by what was asked. */
export type Answers = AnswerShape | ((asked: Asked) => AnswerShape);

export interface FunctionCall {
  readonly name: string;
  readonly args: Readonly<Record<string, unknown>>;
}

export interface AnamAccountShape {
  /** Conversations at once. Default: unlimited. */
  readonly slots?: number;
  /** Usage minutes before the limit is reached; they never come back. Default: unlimited. */
  readonly minutes?: number;
  /** The saved personas of this account. Default: any. */
  readonly personas?: readonly string[];
  /** Tokens minted a minute. Default: unlimited. */
  readonly sessionsPerMinute?: number;
  /** Default 60: how long a started session holds its slot, and what it uses of the minutes. */
  readonly sessionSeconds?: number;
}
