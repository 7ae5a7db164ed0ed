import express, { type Express } from 'express';
import helmet from 'helmet';
import type { KeyCounts } from '../pool/counts.ts';
import type { AvatarSession } from '../services/avatar.ts';
import type { Chat } from '../services/chat.ts';
import type { ProviderName } from '../shared/api-key.ts';
import type { Logger } from '../shared/logger.ts';
import type { Secret } from '../shared/secret.ts';
import type { SharedStore } from '../shared/shared-store.ts';
import { modelOf } from '../shared/target.ts';
import { trackRequests } from './access.ts';
import { createAdminAccess } from './admin/admin-access.ts';
import { type AdminRoutesOptions, serveAdminRoutes } from './admin/admin-routes.ts';
import {
  ANAM_ERRORS,
  sessionMetricsRoute,
  sessionStartRoute,
  sessionTokenRoute,
} from './avatar-routes.ts';
import { readBytes, readJsonBody } from './body.ts';
import {
  answerChat,
  chatDialectOf,
  guessErrorForm,
  keepBeginning,
  resumeChat,
} from './chat-route.ts';
import { allowOrigins } from './cors.ts';
import { answerErrors, notFound, setErrorForm } from './errors.ts';
import { healthRoute } from './health-route.ts';
import { keysStatusRoute } from './keys-status-route.ts';
import { limitByAddress } from './limits.ts';
import { requireHost } from './listen.ts';
import { openapiRoute } from './openapi-route.ts';
import { serveDocs } from './pages.ts';
import { type ProgramRoutesOptions, serveProgramRoutes } from './program-routes.ts';
import { forbidCaching } from './reply.ts';
import { serve } from './serve.ts';

interface AdminOptions extends Omit<AdminRoutesOptions, 'access' | 'sharedStore'> {
  readonly token: Secret;
}

export interface AppOptions extends ProgramRoutesOptions {
  readonly chat: Chat;
  readonly avatar: AvatarSession;
  readonly countKeys: () => Readonly<Record<ProviderName, KeyCounts>>;
  /** What other processes count and keep too; null where this one is alone. */
  readonly sharedStore: SharedStore | null;
  /** How it stands with the Redis that instances share; null where there is none. */
  readonly redis: (() => string) | null;
  readonly log: Logger;
  /** `demo` says that the providers behind us are stand-ins. */
  readonly mode: 'live' | 'demo';
  /** Without one, what is for whoever runs the server does not exist. */
  readonly admin: AdminOptions | null;
  readonly allowClientPersona: boolean;
  readonly corsOrigins: 'localhost' | readonly string[];
  /** Requests a minute for one client address; 0 is off. */
  readonly chatPerMinute: number;
  readonly sessionsPerMinute: number;
  /** Of the routes that are open to everybody. */
  readonly maxBodyBytes: number;
  /** Proxy hops in front of us. */
  readonly trustProxy: number;
}

/** The SDK tells of each connection several times. */
const METRICS_PER_SESSION = 20;

export function createApp(options: AppOptions): Express {
  const { chat, avatar, countKeys, log, clock, mode, admin, sharedStore, maxBodyBytes } = options;
  const access =
    admin === null ? null : createAdminAccess({ token: admin.token, clock, log, sharedStore });
  const limit = (name: string, perMinute: number) =>
    limitByAddress(name, perMinute, sharedStore, admin?.view.turnedAway);
  const readSessionBody = readBytes(maxBodyBytes, { inflate: true, isJson: false });
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', options.trustProxy);
  app.use(
    trackRequests(log, clock, admin?.metrics ?? null),
    helmet(),
    requireHost,
    allowOrigins(options.corsOrigins),
  );

  serve(app, 'get', ['/health'], healthRoute(mode, options.redis));
  serve(app, 'get', ['/api/keys/status'], keysStatusRoute(countKeys));
  serve(
    app,
    'post',
    ['/api/chat'],
    ...limit('chat', options.chatPerMinute),
    ...(access === null ? [] : [access.recognise]),
    keepBeginning,
    ...readJsonBody(maxBodyBytes),
    answerChat(chat, chatDialectOf, clock),
  );
  serve(app, 'get', ['/api/chat/:id/stream'], resumeChat);
  app.use('/api/chat', guessErrorForm(clock));
  serve(
    app,
    'post',
    ['/api/anam/session-token', '/api/session-token'],
    forbidCaching,
    ...limit('sessions', options.sessionsPerMinute),
    ...readJsonBody(maxBodyBytes),
    sessionTokenRoute({ avatar, allowClientPersona: options.allowClientPersona }),
  );

  app.use('/api/anam/v1', setErrorForm(ANAM_ERRORS));
  serve(
    app,
    'post',
    ['/api/anam/v1/engine/session'],
    forbidCaching,
    ...limit('session-starts', options.sessionsPerMinute),
    readSessionBody,
    sessionStartRoute(avatar),
  );
  serve(
    app,
    'post',
    ['/api/anam/v1/metrics/client'],
    ...limit('session-metrics', options.sessionsPerMinute * METRICS_PER_SESSION),
    readSessionBody,
    sessionMetricsRoute(avatar),
  );
  if (admin !== null && access !== null) serveAdminRoutes(app, { ...admin, access, sharedStore });
  if (options.clientTokens.length > 0) serveProgramRoutes(app, options);

  serve(
    app,
    'get',
    ['/openapi.json'],
    openapiRoute({
      ...options,
      models: options.chatTargets.map(modelOf),
      servesPrograms: options.clientTokens.length > 0,
      servesAdmin: admin !== null,
    }),
  );
  serveDocs(app);

  app.use(notFound, answerErrors(log, clock));
  return app;
}
