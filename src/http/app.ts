import express, { type ErrorRequestHandler, type Express } from 'express';
import type { Clients } from '../services/clients.ts';
import type { Logger } from '../shared/logger.ts';
import type { Redact } from '../shared/redact.ts';
import type { SharedStore } from '../shared/shared-store.ts';
import { type CorsOrigins, receiveRequests, refuseTokenInQuery } from './access.ts';
import type { AdminHttp } from './admin/admin-routes.ts';
import {
  ANAM_ERRORS,
  type AvatarRoutesOptions,
  avatarRoutes,
  START_PATH,
  TOKEN_PATH,
} from './avatar-routes.ts';
import { createClientAccess, setProgramErrorForm } from './caller.ts';
import { type ChatRoutesOptions, chatRoutes, guessErrorForm } from './chat-route.ts';
import { answerErrors, notFound } from './errors.ts';
import { type LiveRoutesOptions, liveRoute } from './live-routes.ts';
import { DOCS, homePage, servePage } from './page-routes.ts';
import { type ProgramRoutesOptions, programRoutes } from './program-routes.ts';
import { limitByAddress } from './rate-limits.ts';
import type {} from './response-locals.ts';
import { resumeRoutes } from './resume-routes.ts';
import { type Route, serveRoutes } from './route.ts';
import { documentRoute, type StatusRoutesOptions, statusRoutes } from './status-routes.ts';

export interface AppOptions
  extends StatusRoutesOptions,
    Omit<ChatRoutesOptions, 'limit' | 'recognise' | 'recogniseClient'>,
    Omit<AvatarRoutesOptions, 'limit' | 'recogniseClient'>,
    Omit<LiveRoutesOptions, 'limit' | 'recogniseClient'>,
    ProgramRoutesOptions {
  /** Null for a process that is alone; otherwise all instances count together. */
  readonly sharedStore: SharedStore | null;
  readonly log: Logger;
  readonly redact: Redact;
  /** Null without an admin token: what is for the operator does not exist then. */
  readonly admin: AdminHttp | null;
  /** Programs with a token; null where there can be none: their routes do not exist then. */
  readonly clients: Clients | null;
  readonly corsOrigins: CorsOrigins;
  /** Of all request bodies in flight together. */
  readonly maxBodiesBytes: number;
  /** Requests a minute for one client address; 0 is off. */
  readonly chatPerMinute: number;
  readonly sessionsPerMinute: number;
  /** Proxy hops in front of us. */
  readonly trustProxy: number;
}

export function createApp(options: AppOptions): Express {
  const { clock, admin, sharedStore, clients } = options;
  const access = createClientAccess(options);
  const limit = (name: string, perMinute: number) =>
    limitByAddress(name, perMinute, sharedStore, admin?.turnedAway);
  const routes: Route[] = [
    ...statusRoutes(options),
    ...chatRoutes({
      ...options,
      limit: limit('chat', options.chatPerMinute),
      recogniseClient: access.recognise('chat'),
      recognise: admin?.recognise ?? null,
    }),
    ...(clients === null ? [] : programRoutes(options)),
    ...resumeRoutes({
      ...options,
      answerStore: sharedStore?.answers ?? null,
      limit: limit('resume', RESUMES_PER_CHAT * options.chatPerMinute),
    }),
    ...avatarRoutes({ ...options, limit, recogniseClient: access.recognise('avatar') }),
    liveRoute({
      ...options,
      limit: limit('live-tokens', options.sessionsPerMinute),
      recogniseClient: access.recognise('live'),
    }),
    ...(admin?.routes ?? []),
    documentRoute(() => routes),
  ];
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', options.trustProxy);
  app.use(receiveRequests({ ...options, metrics: admin }));
  app.use(clients === null ? refuseTokenInQuery : access.admitProgram);
  serveRoutes(app, routes.toSorted(byUse));
  app.use('/api/chat', guessErrorForm(clock));
  const home = homePage({ mode: options.mode, hasAdmin: admin !== null });
  for (const page of [home, DOCS, ...(admin?.pages ?? [])]) {
    routes.push(servePage(app, page));
  }
  app.use(notFound);
  app.use(ANAM_PATHS, setAnamErrorForm);
  if (clients !== null) app.use(setProgramErrorForm);
  app.use(answerErrors(options));
  return app;
}

/** Where Anam's own clients call us. */
const ANAM_PATHS = ['/api/anam/v1', TOKEN_PATH, START_PATH];

/** Each page load sends one request, and a browser may have many pages open. */
const RESUMES_PER_CHAT = 4;

const setAnamErrorForm: ErrorRequestHandler = (error, _request, { locals }, next) => {
  locals.errorForm ??= ANAM_ERRORS;
  next(error);
};

/** Routes that use keys are asked most. */
const byUse = (one: Route, other: Route) =>
  Number(other.usesKeys === true) - Number(one.usesKeys === true);
