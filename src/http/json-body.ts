import { isUtf8 } from 'node:buffer';
import express, { type RequestHandler } from 'express';
import type { z } from 'zod';
import type { FieldFault } from '../service/service-error.ts';
import { HttpError } from './http-error.ts';

/** Both as the limit of a body and in the sentence that refuses a larger one. */
const MAX_BODY = '1mb';

/** Reads a JSON body; anything else, and a body that is not UTF-8, is refused before it is looked into. */
export function readJsonBody(): RequestHandler[] {
  const parse = express.json({
    limit: MAX_BODY,
    // Whatever is JSON reaches the schema, which says better what is wrong with `null` than a parser can.
    strict: false,
    type: () => true,
    verify(_request, _response, bytes) {
      if (!isUtf8(bytes)) throw new Error('not UTF-8');
    },
  });
  return [requireJson, parse];
}

const requireJson: RequestHandler = (request, _response, next) => {
  if (
    !hasBody(request.headers) ||
    request.is('application/json') ||
    request.is('application/*+json')
  ) {
    next();
    return;
  }
  const message = 'Send the body as application/json.';
  next(new HttpError(415, 'unsupported_media_type', message));
};

const hasBody = (headers: Record<string, unknown>) =>
  headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;

/** So many faults are listed; a body of a megabyte could have thousands. */
const MAX_FAULTS = 20;

/** @throws HttpError 400 that lists each fault with its path */
export function validate<T>(schema: z.ZodType<T>, body: unknown): T {
  const result = schema.safeParse(body);
  if (result.success) return result.data;
  const details = result.error.issues.flatMap(toFaults).slice(0, MAX_FAULTS);
  const [first] = details;
  const at = first === undefined || first.path === '' ? '' : `${first.path}: `;
  throw new HttpError(400, 'invalid_request', `${at}${first?.message ?? 'Invalid body.'}`, {
    details,
  });
}

/** One fault for each unknown field, so that each is named by its own path. */
function toFaults(issue: z.core.$ZodIssue): FieldFault[] {
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') return [{ path: path.join('.'), message: issue.message }];
  return issue.keys.map((key) => ({
    path: [...path, key.slice(0, 100)].join('.'),
    message: 'This field is unknown.',
  }));
}
