import express, { type Express } from 'express';
import helmet from 'helmet';
import type { KeyCounts } from '../pool/counts.ts';
import type { AvatarSession } from '../service/avatar-session.ts';
import type { Chat } from '../service/chat.ts';
import type { Service } from '../shared/api-key.ts';
import type { Logger } from '../shared/logger.ts';
import { logAccess } from './access-log.ts';
import { answerChat } from './answer-chat.ts';
import { chatDialectOf, keepBeginning, speakAsCaller, speakAsUnreadCaller } from './chat-route.ts';
import { allowOrigins } from './cross-origin.ts';
import { speak } from './error-form.ts';
import { answerErrors, notFound } from './fallbacks.ts';
import { healthRoute } from './health-route.ts';
import { readJsonBody } from './json-body.ts';
import { keysStatusRoute } from './keys-status-route.ts';
import { limitByAddress } from './limits.ts';
import { type ProgramRoutesOptions, serveProgramRoutes } from './program-routes.ts';
import { serve } from './serve.ts';
import {
  ANAM_ERRORS,
  readSessionBody,
  sessionMetricsRoute,
  sessionStartRoute,
} from './session-start-route.ts';
import { forbidCaching, sessionTokenRoute } from './session-token-route.ts';
import { requireHost } from './unreadable.ts';

export interface AppOptions extends ProgramRoutesOptions {
  readonly chat: Chat;
  readonly avatar: AvatarSession;
  readonly counts: (service: Service) => KeyCounts;
  readonly log: Logger;
  /** `demo` says that the providers behind us are stand-ins. */
  readonly mode: 'live' | 'demo';
  readonly allowClientPersona: boolean;
  readonly corsOrigins: 'localhost' | readonly string[];
  /** Requests a minute for one client address; 0 is off. */
  readonly chatPerMinute: number;
  readonly sessionsPerMinute: number;
  /** Proxy hops in front of us. */
  readonly trustProxy: number;
}

/** The SDK tells of each connection several times. */
const METRICS_PER_SESSION = 20;

export function createApp(options: AppOptions): Express {
  const { chat, avatar, counts, log, clock, mode } = options;
  const app = express();
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('trust proxy', options.trustProxy);
  app.use(logAccess(log), helmet(), requireHost, allowOrigins(options.corsOrigins));

  serve(app, 'get', ['/health'], healthRoute(mode));
  serve(app, 'get', ['/api/keys/status'], keysStatusRoute(counts));
  serve(
    app,
    'post',
    ['/api/chat'],
    ...limitByAddress('chat', options.chatPerMinute),
    keepBeginning,
    ...readJsonBody(),
    speakAsCaller,
    answerChat(chat, chatDialectOf, clock),
  );
  app.use('/api/chat', speakAsUnreadCaller(clock));
  serve(
    app,
    'post',
    ['/api/anam/session-token', '/api/session-token'],
    forbidCaching,
    ...limitByAddress('sessions', options.sessionsPerMinute),
    ...readJsonBody(),
    sessionTokenRoute({ avatar, allowClientPersona: options.allowClientPersona }),
  );

  app.use('/api/anam/v1', speak(ANAM_ERRORS));
  serve(
    app,
    'post',
    ['/api/anam/v1/engine/session'],
    forbidCaching,
    ...limitByAddress('session-starts', options.sessionsPerMinute),
    readSessionBody,
    sessionStartRoute(avatar),
  );
  serve(
    app,
    'post',
    ['/api/anam/v1/metrics/client'],
    ...limitByAddress('session-metrics', options.sessionsPerMinute * METRICS_PER_SESSION),
    readSessionBody,
    sessionMetricsRoute(avatar),
  );
  if (options.clientTokens.length > 0) serveProgramRoutes(app, options);

  app.use(notFound, answerErrors(log));
  return app;
}
