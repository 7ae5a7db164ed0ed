import { parseJson } from '../src/shared/json.ts';
import type { Service } from './standin-key.ts';

const LONGEST_BODY_KEPT = 65_536;

/** One request that reached the stand-in. */
export class StandinCall {
  /** The API key's text; for a session start, the key that minted the token; else empty. */
  readonly key: string;
  readonly service: Service;
  readonly path: string;
  /** Google: the model in the path. */
  readonly model?: string;
  /** In the clock's milliseconds. */
  readonly at: number;
  /** The header with the trace that the call is part of. */
  readonly traceparent: string | undefined;
  /** Null until the head of the answer goes out. */
  status: number | null = null;
  /** The client hung up before its answer ended. */
  aborted = false;
  /** The stand-in ended the connection before the answer's end. */
  isCut = false;
  /** In characters. */
  bodyLength = 0;
  #text = '';

  /** @param entry An empty model is none. */
  constructor(
    entry: Required<Pick<StandinCall, 'key' | 'service' | 'path' | 'model' | 'at'>> & {
      readonly traceparent?: string | undefined;
    },
  ) {
    this.key = entry.key;
    this.service = entry.service;
    this.path = entry.path;
    this.at = entry.at;
    this.traceparent = entry.traceparent;
    if (entry.model !== '') this.model = entry.model;
  }

  keepBody(text: string, longest = LONGEST_BODY_KEPT): void {
    this.bodyLength = text.length;
    if (text.length <= longest) this.#text = text;
  }

  /**
   * The parsed body; undefined when it was empty, no JSON, or too long to be kept. It is parsed when
   * asked for, so that a benchmark pays nothing for it.
   */
  get body(): unknown {
    return parseJson(this.#text);
  }
}

/** Appends a call, and drops the oldest thousand where there are 11,000. */
export function logCall(calls: StandinCall[], call: StandinCall): void {
  calls.push(call);
  if (calls.length >= 11_000) calls.splice(0, 1_000);
}
