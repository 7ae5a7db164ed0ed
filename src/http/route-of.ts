import type { Request } from 'express';
import { METHOD_PATH, MODELS_PATH } from './gemini/read-call.ts';

/** The pattern that a request's path has matched, and none of what a caller put into it. */
export function routeOf({ route }: Request): string {
  const pattern: unknown = route?.path;
  return typeof pattern === 'string' ? pattern : (WRITTEN_OUT.get(pattern) ?? OTHER);
}

/** Pages' files, and whatever there is not. */
const OTHER = 'other';

const WRITTEN_OUT = new Map<unknown, string>([
  [METHOD_PATH, '/v1beta/models/{model}:{method}'],
  [MODELS_PATH, '/v1beta/models/{model}'],
]);
