import type { Express, RequestHandler } from 'express';
import type { z } from 'zod';
import { type ErrorCode, type ErrorForm, methodNotAllowed } from './errors.ts';
import { forbidCaching } from './reply.ts';

/** One way to ask the server. Router, OpenAPI document and metric labels derive from it. */
export interface Route {
  readonly method: 'get' | 'post' | 'patch' | 'delete';
  /** In OpenAPI's form: `/api/keys/{id}/park`. Also the route's label in the metrics. */
  readonly path: string;
  /** Further paths to the same. */
  readonly aliases?: readonly string[];
  /** Matches the path and its aliases where `{name}` alone would match too much. */
  readonly pattern?: RegExp;
  /** The operation's name in generated clients. */
  readonly id: string;
  readonly tag: Tag;
  readonly summary: string;
  /** Markdown. */
  readonly description?: string;
  /** What opens the route. Default: it is open to everybody. */
  readonly auth?: Auth;
  /** Our own limit for one client address; empty if it is off. */
  readonly limit?: readonly RequestHandler[];
  /** Whether no answer may be cached, errors included. */
  readonly isUncached?: boolean;
  readonly params?: z.ZodObject;
  readonly query?: z.ZodObject;
  readonly body?: RequestBody;
  readonly answer: Answer;
  /** Where a request that goes well may have another answer. */
  readonly otherAnswer?: Answer;
  /** Whether it takes a key of a provider. */
  readonly usesKeys?: boolean;
  /** The provider whose own errors are passed on. */
  readonly passesOn?: string;
  /** Errors besides those that follow from the rest. */
  readonly errors?: readonly ErrorCode[];
  /** Default: our own form. */
  readonly errorForms?: readonly ErrorForm[];
  /** Whether dashboards and pages ask so often that the log shows a success at level debug only. */
  readonly isPolled?: boolean;
  readonly handlers: readonly RequestHandler[];
}

export type Tag =
  | 'Chat'
  | 'Avatar'
  | 'Live'
  | 'Operation'
  | 'Admin'
  | 'OpenAI'
  | 'Anthropic'
  | 'Gemini'
  | 'Developers';

export type Auth = 'client' | 'admin' | 'session';

export interface RequestBody {
  readonly schema: z.ZodType;
  /** Default: true. */
  readonly isRequired?: boolean;
  /** This very server accepts each of them. */
  readonly examples: Readonly<
    Record<string, { readonly summary?: string; readonly value: unknown }>
  >;
}

/** The answer to a request that goes well. */
export interface Answer {
  /** Default: 200. */
  readonly status?: number;
  readonly description: string;
  /** By media type, without its charset. Default: no body. */
  readonly content?: Readonly<Record<string, z.ZodType>>;
  /** Whether `understudy-attempts` and `understudy-key` say who has answered. */
  readonly saysWhoAnswered?: boolean;
}

/** @param schema of the body */
/** Of a route that is open to everybody and checks a client's token where one is sent. */
export const errorsOfClients = (recogniseClient: readonly RequestHandler[]) =>
  recogniseClient.length === 0 ? [] : (['unauthorized', 'forbidden', 'rate_limited'] as const);

export const jsonAnswer = (description: string, schema: z.ZodType): Answer => ({
  description,
  content: { 'application/json': schema },
});

/**
 * Another method on a known path is refused with 405. While a request is in a route, `request.route.served`
 * lists the routes of its path.
 */
export function serveRoutes(app: Express, routes: readonly Route[]): void {
  for (const [path, same] of groupBy(routes, (route) => route.path)) {
    const pattern = same.find((route) => route.pattern !== undefined)?.pattern;
    const aliases = same.flatMap((route) => route.aliases ?? []);
    const served = app.route(pattern ?? [path, ...aliases].map(toExpressPath));
    for (const { method, isUncached = false, limit = [], handlers } of same) {
      const caching = isUncached ? [forbidCaching] : [];
      served[method](...caching, ...limit, ...handlers);
    }
    const allowed = same.flatMap(({ method }) => METHODS[method]);
    served.all(methodNotAllowed(...allowed, 'OPTIONS'));
    Object.assign(served, { served: same });
  }
}

const METHODS = {
  get: ['GET', 'HEAD'],
  post: ['POST'],
  patch: ['PATCH'],
  delete: ['DELETE'],
} as const;

export function groupBy<Value, Key>(values: readonly Value[], keyOf: (value: Value) => Key) {
  const groups = new Map<Key, Value[]>();
  for (const value of values)
    groups.set(keyOf(value), [...(groups.get(keyOf(value)) ?? []), value]);
  return groups;
}

const toExpressPath = (path: string) => path.replace(/\{(\w+)\}/g, ':$1');
