import type { ServerResponse } from 'node:http';
import type { RequestHandler } from 'express';
import { errorBody, type HttpError } from './http-error.ts';
import { JSON_TYPE } from './send-json.ts';

/** How a refusal is written for one kind of caller. */
export interface ErrorForm {
  readonly type: string;
  text(error: HttpError, requestId: string): string;
  /** Further headers besides `retry-after`. */
  headers?(error: HttpError): Readonly<Record<string, string>>;
  /** Where a caller expects another status than ours. */
  status?(error: HttpError): number;
}

export const TEXT_TYPE = 'text/plain; charset=utf-8';

/** Ours, for whoever has no form of its own. */
export const OUR_ERRORS: ErrorForm = {
  type: JSON_TYPE,
  text: (error, requestId) => JSON.stringify(errorBody(error, requestId)),
};

/** The sentence alone, for clients that show whatever comes to a person. */
export const PLAIN_ERRORS: ErrorForm = { type: TEXT_TYPE, text: ({ message }) => message };

type InStream = (error: HttpError) => string | null;

const inStream = new WeakMap<ServerResponse, InStream>();

/** What goes wrong once the answer has begun is told by the stream itself, if it can. */
export const failInStream = (response: ServerResponse, fail: InStream) =>
  void inStream.set(response, fail);

/** @returns what ends the stream; null where only a broken connection can tell */
export const lastWordsOf = (response: ServerResponse, error: HttpError): string | null =>
  inStream.get(response)?.(error) ?? null;

const forms = new WeakMap<ServerResponse, ErrorForm>();

/** From here on, what goes wrong with this request is told in this form. */
export const answerErrorsIn = (response: ServerResponse, form: ErrorForm) =>
  void forms.set(response, form);

export const errorFormOf = (response: ServerResponse) => forms.get(response) ?? OUR_ERRORS;

/** For routes whose callers all speak alike. */
export const speak = (form: ErrorForm): RequestHandler =>
  function speakInForm(_request, response, next) {
    answerErrorsIn(response, form);
    next();
  };
