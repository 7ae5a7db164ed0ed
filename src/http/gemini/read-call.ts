import type { Request } from 'express';
import type { RelayCall } from '../../services/relay.ts';
import { PLAIN } from '../../shared/request-shape.ts';
import { resourcesIn } from './resources.ts';
import { shapeIn } from './shape.ts';

const MODEL = String.raw`[A-Za-z0-9][\w.-]{0,99}`;

/** What can be asked of a model. The paths go on as they come, so none may hold more than these letters. */
export const METHOD_PATH = new RegExp(
  `^/(?:v1|v1alpha|v1beta)/models/(?<model>${MODEL}):(?<method>generateContent|streamGenerateContent|countTokens)$`,
);
/** One of Google's models, or the list of them. */
export const MODELS_PATH = new RegExp(`^/(?:v1|v1alpha|v1beta)/models(?:/(?<model>${MODEL}))?$`);

/** Headers that are the caller's to choose. None that would let Google answer in another encoding. */
const PASSED_ON = ['content-type', 'accept', 'user-agent', 'x-goog-api-client'];

/** Counting tokens uses no model's quota. */
const UNMETERED = 'countTokens';
/** Answers when it has all of its answer. */
const WHOLE = 'generateContent';

export function readMethodCall(request: Request): RelayCall {
  const { model = '', method } = METHOD_PATH.exec(request.path)?.groups ?? {};
  const body = Buffer.isBuffer(request.body) ? request.body : NO_BODY;
  const isMetered = method !== UNMETERED;
  return {
    operation: isMetered ? 'generate_content' : 'count_tokens',
    request: { method: 'POST', path: pathOf(request), headers: headersOf(request), body },
    model,
    isMetered,
    comesWhole: method === WHOLE,
    resources: resourcesIn(body),
    shape: () => shapeIn(request, body),
  };
}

export const readModelsCall = (request: Request): RelayCall => ({
  operation: 'list_models',
  request: { method: 'GET', path: pathOf(request), headers: headersOf(request), body: null },
  model: null,
  isMetered: false,
  comesWhole: false,
  resources: [],
  shape: PLAIN,
});

const NO_BODY = Buffer.alloc(0);

const headersOf = ({ headers }: Request): Record<string, string> =>
  Object.fromEntries(
    PASSED_ON.flatMap((name) => {
      const value = headers[name];
      return typeof value === 'string' ? [[name, value]] : [];
    }),
  );

/**
 * Drops every parameter but those that shape the answer: the others hold credentials, name another
 * project to bill, or carry headers of their own.
 */
function pathOf({ path, originalUrl }: Request): string {
  const query = QUERY.exec(originalUrl)?.[1] ?? '';
  const kept = query.split('&').filter((pair) => PASSED_PARAMETER.test(pair));
  return kept.length === 0 ? path : `${path}?${kept.join('&')}`;
}

const QUERY = /\?([^#]*)/;
/** Without a semicolon, which some take for a separator. */
const PASSED_PARAMETER = /^(?:alt|fields|prettyPrint|page_?size|page_?token)=(?:(?!%3b)[^;])*$/i;
