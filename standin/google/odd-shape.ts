import { STATUS_CODES } from 'node:http';
import type { Reply } from '../reply.ts';
import type { GoogleErrorBody } from './error.ts';
import type { OddShape } from './fault.ts';

/** Rewrites an error reply into one of the shapes that parsers meet in the wild. */
export function inOddShape(kind: OddShape['kind'], reply: Reply): Reply {
  const body = String(reply.body);
  return { ...reply, body: JSON.stringify(SHAPES[kind](JSON.parse(body), body)) };
}

const SHAPES: Record<OddShape['kind'], (error: GoogleErrorBody, text: string) => unknown> = {
  array_wrapped: (body) => [body],
  double_encoded: ({ error }, text) => ({
    error: { message: text, code: error.code, status: STATUS_CODES[error.code] },
  }),
  string_code: ({ error }) => ({ error: { ...error, code: String(error.code) } }),
  bare_details: ({ error }) => ({
    error: {
      ...error,
      details: error.details?.map(({ '@type': _type, domain: _domain, ...rest }) => rest),
    },
  }),
  no_violations: ({ error }) => ({
    error: {
      ...error,
      details: error.details?.map((detail) =>
        'violations' in detail ? { ...detail, violations: [] } : detail,
      ),
    },
  }),
};
