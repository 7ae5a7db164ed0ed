import { htmlReply, type Reply } from '../reply.ts';
import { type GoogleCallFacts, googleError } from './error.ts';
import type { GoogleRefusalKind } from './fault.ts';

/** Refusals that are Google's own trouble, or the request's own fault. */
export const GOOGLE_OTHER_REFUSALS = {
  overloaded: () =>
    googleError(503, 'UNAVAILABLE', 'The model is overloaded. Please try again later.'),
  internal: () =>
    googleError(
      500,
      'INTERNAL',
      'An internal error has occurred. Please retry or report in https://developers.generativeai.google/guide/troubleshooting',
    ),
  bad_gateway_html: () =>
    htmlReply(
      502,
      'Error 502 (Server Error)!!1',
      'The server encountered a temporary error and could not complete your request. Please try again in 30 seconds.',
    ),
  gateway_timeout: () =>
    googleError(504, 'DEADLINE_EXCEEDED', 'Deadline expired before operation could complete.'),
  html_404: () => notFoundPage(),
  request_fault: () =>
    googleError(400, 'INVALID_ARGUMENT', 'Request contains an invalid argument.'),
  cached_content: () => cachedContentGone(),
  file_gone: () => fileGone('files/abc123def456'),
} satisfies Partial<Record<GoogleRefusalKind, (call: GoogleCallFacts) => Reply>>;

export const cachedContentGone = (): Reply =>
  googleError(403, 'PERMISSION_DENIED', 'CachedContent not found (or permission denied)');

/** @param name Such as `files/xyz`; Google tells the id alone. */
export const fileGone = (name: string): Reply =>
  googleError(
    403,
    'PERMISSION_DENIED',
    `You do not have permission to access the File ${name.replace('files/', '')} or it may not exist.`,
  );

/** The page for an address that no method lives at. */
export const notFoundPage = (): Reply =>
  htmlReply(
    404,
    'Error 404 (Not Found)!!1',
    'The requested URL was not found on this server. That is all we know.',
  );
