import express, { type ErrorRequestHandler, type Express } from 'express';
import type { Logger } from '../shared/logger.ts';
import type { Secret } from '../shared/secret.ts';
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
import { type ChatRoutesOptions, chatRoutes, guessErrorForm } from './chat-route.ts';
import { answerErrors, notFound } from './errors.ts';
import { type LiveRoutesOptions, liveRoute } from './live-routes.ts';
import { DOCS, homePage, servePage } from './page-routes.ts';
import {
  admitPrograms,
  type ProgramRoutesOptions,
  programRoutes,
  setProgramErrorForm,
} from './program-routes.ts';
import { limitByAddress } from './rate-limits.ts';
import type {} from './response-locals.ts';
import { resumeRoutes } from './resume-routes.ts';
import { type Route, serveRoutes } from './route.ts';
import { documentRoute, type StatusRoutesOptions, statusRoutes } from './status-routes.ts';

export interface AppOptions
  extends StatusRoutesOptions,
    Omit<ChatRoutesOptions, 'limit' | 'recognise'>,
    Omit<AvatarRoutesOptions, 'limit'>,
    Omit<LiveRoutesOptions, 'limit'>,
    ProgramRoutesOptions {
  /** Null for a process that is alone; otherwise all instances count together. */
  readonly sharedStore: SharedStore | null;
  readonly log: Logger;
  /** Null without an admin token: what is for the operator does not exist then. */
  readonly admin: AdminHttp | null;
  /** Programs' tokens; without any, their routes do not exist. */
  readonly clientTokens: readonly Secret[];
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
  const { log, clock, admin, sharedStore, clientTokens } = options;
  const limit = (name: string, perMinute: number) =>
    limitByAddress(name, perMinute, sharedStore, admin?.turnedAway);
  const routes: Route[] = [
    ...statusRoutes(options),
    ...chatRoutes({
      ...options,
      limit: limit('chat', options.chatPerMinute),
      recognise: admin?.recognise ?? null,
    }),
    ...(clientTokens.length === 0 ? [] : programRoutes(options)),
    ...resumeRoutes({
      ...options,
      answerStore: sharedStore?.answers ?? null,
      limit: limit('resume', RESUMES_PER_CHAT * options.chatPerMinute),
    }),
    ...avatarRoutes({ ...options, limit }),
    liveRoute({ ...options, limit: limit('live-tokens', options.sessionsPerMinute) }),
    ...(admin?.routes ?? []),
    documentRoute(() => routes),
  ];
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', options.trustProxy);
  app.use(receiveRequests({ ...options, metrics: admin }));
  app.use(clientTokens.length > 0 ? admitPrograms(options) : refuseTokenInQuery);
  serveRoutes(app, routes.toSorted(byUse));
  app.use('/api/chat', guessErrorForm(clock));
  const home = homePage({ mode: options.mode, hasAdmin: admin !== null });
  for (const page of [home, DOCS, ...(admin?.pages ?? [])]) {
    routes.push(servePage(app, page));
  }
  app.use(notFound);
  app.use(ANAM_PATHS, setAnamErrorForm);
  if (clientTokens.length > 0) app.use(setProgramErrorForm);
  app.use(answerErrors(log, clock));
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
