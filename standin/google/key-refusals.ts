import type { Reply } from '../reply.ts';
import {
  CONSUMER,
  errorInfo,
  GOOGLE_API,
  type GoogleCallFacts,
  googleError,
  help,
  localized,
  rpcName,
} from './error.ts';
import type { GoogleRefusalKind } from './fault.ts';

const DENIED = 'PERMISSION_DENIED';

/** Refusals about the key, its project or its rights. The texts are Google's own. */
export const GOOGLE_KEY_REFUSALS = {
  bad_key: () => invalidKey('API key not valid. Please pass a valid API key.'),
  expired_key: () => invalidKey('API key expired. Please renew the API key.'),
  leaked: () =>
    googleError(403, DENIED, 'Your API key was reported as leaked. Please use another API key.'),
  suspended: ({ key }) =>
    denied(
      'CONSUMER_SUSPENDED',
      `Permission denied: Consumer 'api_key:${key}' has been suspended.`,
      {
        containerInfo: `api_key:${key}`,
      },
    ),
  service_disabled: () => serviceDisabled(),
  key_blocked: (call) =>
    denied(
      'API_KEY_SERVICE_BLOCKED',
      `Requests to this API ${GOOGLE_API} method ${rpcName(call)} are blocked.`,
      { apiName: GOOGLE_API, methodName: rpcName(call) },
    ),
  unauthenticated: (call) =>
    googleError(
      401,
      'UNAUTHENTICATED',
      'Request had invalid authentication credentials. Expected OAuth 2 access token, login cookie or other valid authentication credential. See https://developers.google.com/identity/sign-in/web/devconsole-project.',
      [errorInfo('ACCESS_TOKEN_TYPE_UNSUPPORTED', { method: rpcName(call) })],
    ),
  model_forbidden: () => googleError(403, DENIED, 'The caller does not have permission'),
  model_gone: ({ model }) =>
    googleError(
      404,
      'NOT_FOUND',
      `This model models/${model} is no longer available to new users. Please update your code to use a newer model for the latest features and improvements.`,
    ),
  location: () =>
    googleError(400, 'FAILED_PRECONDITION', 'User location is not supported for the API use.'),
  free_tier_country: () =>
    googleError(
      400,
      'FAILED_PRECONDITION',
      'Gemini API free tier is not available in your country. Please enable billing on your project in Google AI Studio.',
    ),
} satisfies Partial<Record<GoogleRefusalKind, (call: GoogleCallFacts) => Reply>>;

export const missingKey = (): Reply =>
  googleError(
    403,
    DENIED,
    "Method doesn't allow unregistered callers (callers without established identity). Please use API Key or other form of API consumer identity to call this API.",
  );

const invalidKey = (message: string) =>
  googleError(400, 'INVALID_ARGUMENT', message, [
    errorInfo('API_KEY_INVALID', {}),
    localized(message),
  ]);

const denied = (reason: string, message: string, metadata: Readonly<Record<string, string>>) =>
  googleError(403, DENIED, message, [
    errorInfo(reason, { consumer: CONSUMER, ...metadata }),
    localized(message),
  ]);

function serviceDisabled(): Reply {
  const activationUrl = `https://console.developers.google.com/apis/api/${GOOGLE_API}/overview?project=100000000001`;
  const message = `Generative Language API has not been used in project 100000000001 before or it is disabled. Enable it by visiting ${activationUrl} then retry. If you enabled this API recently, wait a few minutes for the action to propagate to our systems and retry.`;
  return googleError(403, DENIED, message, [
    errorInfo('SERVICE_DISABLED', {
      consumer: CONSUMER,
      serviceTitle: 'Generative Language API',
      activationUrl,
    }),
    localized(message),
    help('Google developers console API activation', activationUrl),
  ]);
}
