const NOW = '2026-11-24T18:20:00.000Z';
const MODEL = 'gemini-flash-latest';
const SPENT_UNTIL = '2026-11-24T19:00:00.000Z';
const FIRST_MINUTE = Date.parse('2026-11-24T17:21:00.000Z');

const minutes = Array.from({ length: 60 }, (_, index) => ({
  at: new Date(FIRST_MINUTE + index * 60_000).toISOString(),
  requests: index === 39 ? 1 : 0,
  answered: index === 39 ? 1 : 0,
  fallbacks: index === 39 ? 1 : 0,
  refused: 0,
  brokenOff: 0,
  turnedAway: 0,
}));

const QUIET = { isTrial: false, parkedUntil: null };

export const OVERVIEW = {
  now: NOW,
  startedAt: '2026-11-24T09:00:00.000Z',
  mode: 'live',
  redis: null,
  unprovenKeys: [],
  services: [
    {
      service: 'google',
      inFlight: 1,
      models: [
        {
          model: MODEL,
          total: 2,
          available: 1,
          cooling_down: 1,
          exhausted: 0,
          causes: { quota_exhausted: 1 },
          nextReturnAt: SPENT_UNTIL,
          nextReturnBy: 'rule',
        },
      ],
    },
  ],
  minutes,
  latest: [
    {
      requestId: '0b2c1d9e-5f1a-4c1e-9d8e-3c7f3a0f6a51',
      service: 'google',
      operation: 'chat',
      at: '2026-11-24T18:00:01.000Z',
      ms: 1240,
      waitedMs: 0,
      end: 'answered',
      code: null,
      attemptsInAll: 2,
      attempts: [
        {
          ...QUIET,
          key: 'google-2',
          model: MODEL,
          outcome: 'quota_exhausted',
          message: 'You exceeded your current quota.',
          parkedUntil: SPENT_UNTIL,
          ms: 190,
          firstMs: null,
          tokens: null,
        },
        {
          ...QUIET,
          key: 'google',
          model: MODEL,
          outcome: 'success',
          message: null,
          ms: 1040,
          firstMs: 430,
          tokens: 128,
        },
      ],
    },
  ],
};
