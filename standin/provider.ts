import type { IncomingHttpHeaders } from 'node:http';
import type { Service } from '../src/shared/api-key.ts';
import type { HeldKey, KeyRing } from './key-ring.ts';
import type { Reply } from './reply.ts';

export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** Without its question mark; empty when there is none. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
}

/** One service that the stand-in stands in for. It answers with data and holds no connection. */
export interface Provider {
  readonly service: Service;
  readonly ring: KeyRing;
  /** @returns null for a path that is none of this service's. */
  receive(head: RequestHead): Visit | null;
}

/** A request that found its service; its body is still to come. */
export interface Visit {
  /** The key's text as it was sent; for a session start, the one that minted its token. */
  readonly key: string;
  /** Null when the stand-in does not know the key. */
  readonly holder: HeldKey | null;
  /** Empty where the path names none. */
  readonly model: string;
  answer(text: string): Reply;
}
