const NOW = '2026-11-24T18:20:00.000Z';
const MODEL = 'gemini-flash-latest';
const SPENT_SINCE = '2026-11-24T18:00:00.000Z';
const SPENT_UNTIL = '2026-11-24T19:00:00.000Z';
const SPENT =
  "the day's quota of gemini-flash-latest is spent for its project; tried again at 19:00 UTC; resets at midnight Pacific";
const PARKED_UNTIL = '2026-11-24T18:35:00.000Z';
const PARKED = 'taken out of use by the operator; back at 18:35 UTC, or when it is released';

/** What is given out of a key, as it may look. */
export const AVAILABLE_KEY = {
  id: 'google',
  fingerprint: '3f2a9c0b17',
  service: 'google',
  project: 'google',
  model: MODEL,
  state: 'available',
  cause: null,
  explanation: null,
  source: null,
  since: null,
  until: null,
  untilBy: null,
  scopes: [],
  inFlight: 1,
  calls: 12,
  successes: 12,
  failures: {},
  latency: { p50Ms: 420, p95Ms: 910, answers: 9 },
  lastError: null,
  lastAction: { action: 'release', who: 'Ana', why: 'quota was raised', at: NOW },
  history: [],
};

export const PARKED_KEY = {
  ...AVAILABLE_KEY,
  state: 'cooling_down',
  cause: 'operator',
  explanation: PARKED,
  source: 'operator',
  since: NOW,
  until: PARKED_UNTIL,
  untilBy: 'operator',
  scopes: [
    {
      scope: 'operator',
      model: null,
      state: 'parked',
      cause: 'operator',
      explanation: PARKED,
      source: 'operator',
      since: NOW,
      until: PARKED_UNTIL,
      untilBy: 'operator',
    },
  ],
  lastAction: { action: 'park', who: 'Ana', why: 'bill is strange', at: NOW },
};

export const SPENT_KEY = {
  ...AVAILABLE_KEY,
  id: 'google-2',
  fingerprint: '91d04e6ab2',
  project: 'google-2',
  state: 'cooling_down',
  cause: 'quota_exhausted',
  explanation: SPENT,
  source: 'provider',
  since: SPENT_SINCE,
  until: SPENT_UNTIL,
  untilBy: 'rule',
  scopes: [
    {
      scope: 'project_model',
      model: MODEL,
      state: 'parked',
      cause: 'quota_exhausted',
      explanation: SPENT,
      source: 'provider',
      since: SPENT_SINCE,
      until: SPENT_UNTIL,
      untilBy: 'rule',
    },
  ],
  inFlight: 0,
  calls: 251,
  successes: 250,
  failures: { quota_exhausted: 1 },
  latency: null,
  lastError: {
    at: SPENT_SINCE,
    kind: 'quota_exhausted',
    model: MODEL,
    message: 'You exceeded your current quota.',
    status: 429,
  },
  lastAction: null,
  history: [{ from: SPENT_SINCE, to: NOW, state: 'cooling_down', cause: 'quota_exhausted' }],
};
