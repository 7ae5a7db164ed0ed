import type { Service } from '../src/shared/api-key.ts';
import { parseJson } from './json.ts';

/** One request that reached the stand-in. */
export interface StandinCall {
  /** The API key's text; for a session start, the key that minted the token; else empty. */
  readonly key: string;
  readonly service: Service;
  readonly path: string;
  /** Google: the model in the path. */
  readonly model?: string;
  /** In the clock's milliseconds. */
  readonly at: number;
  /** Null until the head of the answer goes out. */
  status: number | null;
  /** The client hung up before its answer ended. */
  aborted: boolean;
  /** The parsed body; missing when it was empty, no JSON, or longer than 64 KB. */
  readonly body?: unknown;
}

const CALLS_KEPT = 10_000;
const CALLS_DROPPED_AT_ONCE = 1_000;
const LONGEST_BODY_KEPT = 65_536;

/** The calls, newest last: at least the last 10,000, at most 11,000. */
export class CallLog {
  readonly calls: LoggedCall[] = [];

  add(call: LoggedCall): void {
    this.calls.push(call);
    if (this.calls.length >= CALLS_KEPT + CALLS_DROPPED_AT_ONCE) {
      this.calls.splice(0, CALLS_DROPPED_AT_ONCE);
    }
  }
}

export class LoggedCall implements StandinCall {
  readonly key: string;
  readonly service: Service;
  readonly path: string;
  readonly model?: string;
  readonly at: number;
  status: number | null = null;
  aborted = false;
  #text = '';

  /** @param entry An empty model is none. */
  constructor(entry: Required<Pick<StandinCall, 'key' | 'service' | 'path' | 'model' | 'at'>>) {
    this.key = entry.key;
    this.service = entry.service;
    this.path = entry.path;
    this.at = entry.at;
    if (entry.model !== '') this.model = entry.model;
  }

  keepBody(text: string): void {
    if (text.length <= LONGEST_BODY_KEPT) this.#text = text;
  }

  /** Parsed when asked for, so that a benchmark pays nothing for it. */
  get body(): unknown {
    return parseJson(this.#text);
  }
}
