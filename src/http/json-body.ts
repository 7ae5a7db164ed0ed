import { isUtf8 } from 'node:buffer';
import express, { type Request, type RequestHandler } from 'express';
import type { z } from 'zod';
import type { FieldFault } from '../failover/service-error.ts';
import { readWithin } from './body-limit.ts';
import { HttpError } from './http-error.ts';
import { refuseTooManyValues } from './json-cost.ts';
import { replaceLoneSurrogatesIn } from './lone-surrogates.ts';

/**
 * Reads a JSON body in UTF-8; anything else is refused before it is looked into.
 *
 * @param limit in bytes
 */
export function readJsonBody(limit: number): RequestHandler[] {
  const parse = express.json({
    limit,
    // Whatever is JSON reaches the schema, which says better what is wrong with `null` than a parser can.
    strict: false,
    type: () => true,
    verify(request, response, bytes) {
      const { headers } = request;
      if (bytes.length > 0 && headers['content-type'] === undefined) throw bodyFault(NOT_JSON);
      if (!isUtf8(bytes)) throw bodyFault(NOT_UTF_8);
      refuseTooManyValues(request, response, bytes);
      replaceLoneSurrogatesIn(bytes);
    },
  });
  return [requireJson, readWithin(limit, parse)];
}

/** What the parser calls the faults that it cannot find by itself. */
export const NOT_JSON = 'media.unsupported';
export const NOT_UTF_8 = 'entity.not.utf8';

const bodyFault = (type: string) => Object.assign(new Error(type), { type });

/** Only a body of unknown length may come without a type: it may turn out to be empty. */
const requireJson: RequestHandler = (request, _response, next) => {
  const { 'content-type': type, 'content-length': length = 0 } = request.headers;
  const isOfUnknownLength = request.headers['transfer-encoding'] !== undefined;
  if (isOfUnknownLength ? type === undefined : Number(length) === 0) return next();
  if (!request.is('application/json') && !request.is('application/*+json')) {
    return next(new HttpError(415, 'unsupported_media_type', 'Send the body as application/json.'));
  }
  if (!UTF_8.test(CHARSET.exec(type ?? '')?.[1] || 'utf-8')) {
    return next(new HttpError(415, 'unsupported_media_type', 'Send the body as UTF-8.'));
  }
  // The charset has been judged; the parser knows fewer of its names.
  request.headers['content-type'] = 'application/json';
  next();
};

const CHARSET = /;\s*charset\s*=\s*"?([^\s";]*)/i;
const UTF_8 = /^utf-?8$/i;

/** For routes that need nothing to be sent. */
export const bodyOrNone = ({ body }: Request): unknown => (body === undefined ? {} : body);

/** So many faults are listed; a body could have thousands. */
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

export const invalidField = (path: string, message: string): HttpError =>
  new HttpError(400, 'invalid_request', `${path}: ${message}`, { details: [{ path, message }] });

/** What zod says of a field that is not there. */
const IS_MISSING = [/^Invalid input: expected .+, received undefined$/, 'Is missing.'] as const;

/** One fault for each unknown field, so that each is named by its own path. */
function toFaults(issue: z.core.$ZodIssue): FieldFault[] {
  if (issue.code === 'invalid_union' && issue.errors.length > 0) return faultsOfUnion(issue);
  const path = issue.path.map(String);
  if (issue.code !== 'unrecognized_keys') {
    return [{ path: path.join('.'), message: issue.message.replace(...IS_MISSING) }];
  }
  return issue.keys.slice(0, MAX_FAULTS).map((key) => ({
    path: [...path, key.slice(0, 100)].join('.'),
    message: 'This field is unknown.',
  }));
}

/** Of several shapes that it could have had, the one that it came nearest to says best what is wrong. */
function faultsOfUnion(issue: z.core.$ZodIssueInvalidUnion): FieldFault[] {
  const [nearest = []] = issue.errors.toSorted(byDistance);
  const hasOwnWords = issue.message !== DEFAULT_MESSAGE && depthOf(nearest) === 0;
  if (hasOwnWords) return [{ path: issue.path.join('.'), message: issue.message }];
  return nearest.flatMap((one) => toFaults({ ...one, path: [...issue.path, ...one.path] }));
}

type Shape = readonly z.core.$ZodIssue[];

/** The deeper its faults and the fewer, the nearer. */
const byDistance = (a: Shape, b: Shape) => depthOf(b) - depthOf(a) || a.length - b.length;

const depthOf = (shape: Shape) => Math.max(...shape.map(({ path }) => path.length));

/** What zod says of a union when its schema says nothing. */
const DEFAULT_MESSAGE = 'Invalid input';
