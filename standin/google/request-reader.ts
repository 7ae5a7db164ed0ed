import type { HeldKey } from '../key-ring.ts';
import type { Reply } from '../reply.ts';
import { createOwnership } from './ownership.ts';
import { type GoogleRequest, readGoogleRequest } from './request.ts';

/** @returns the request, or the refusal of a body that Google would not take from this key. */
export type RequestReader = (body: unknown, key: HeldKey) => GoogleRequest | Reply;

export function createRequestReader(keys: readonly HeldKey[]): RequestReader {
  const refuseForeign = createOwnership(keys);
  return (body, key) => {
    const request = readGoogleRequest(body);
    if ('status' in request) return request;
    return refuseForeign(request.resources, key) ?? request;
  };
}
