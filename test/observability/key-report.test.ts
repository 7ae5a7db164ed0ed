import { expect, it } from 'vitest';
import { explain } from '../../src/observability/key-report.ts';
import type { ScopeState } from '../../src/pool/inspection.ts';
import type { ApiKey } from '../../src/shared/api-key.ts';
import { Secret } from '../../src/shared/secret.ts';
import { google } from '../support/pool.ts';

const NOW = Date.UTC(2026, 10, 24, 18);
const HOUR = 3_600_000;

const KEY: ApiKey = {
  id: 'google',
  provider: 'google',
  project: 'shop',
  secret: new Secret('google', 'x'),
};

const FINDING: ScopeState = {
  scope: 'project_model',
  target: google('flash'),
  state: 'parked',
  isProbing: false,
  features: [],
  cause: 'rate_limited',
  effect: 'cooling_down',
  untilBy: 'rule',
  since: NOW,
  until: NOW + HOUR,
};

const say = (changed: Partial<ScopeState>, blockedUntil = 0) =>
  explain({ ...FINDING, ...changed }, KEY, { now: NOW, blockedUntil });

it.each<[Partial<ScopeState>, string]>([
  [
    { untilBy: 'provider', until: NOW + 12_000 },
    'a rate limit of flash is reached for the project shop; the provider says until 18:00:12 UTC',
  ],
  [
    {},
    'the provider refuses flash for the project shop with 429, and does not say for how long; tried again at 19:00 UTC',
  ],
  [
    { cause: 'quota_unexplained' },
    'the provider refuses flash for the project shop with 429, and does not say why; tried again at 19:00 UTC',
  ],
  [
    { cause: 'quota_unexplained', scope: 'feature', features: ['media', 'search'] },
    'flash refuses requests with media and search for the project shop; all others go on; tried again at 19:00 UTC',
  ],
  [
    { cause: 'paced', scope: 'quota', until: NOW + 12_000 },
    'by our count the quota of flash is used up for the project shop; other keys are asked first until 18:00:12 UTC',
  ],
  [
    { cause: 'out_of_credit', scope: 'billing', target: null, effect: 'needs_action' },
    'the billing account of the project shop has no credit left; needs action: fix that at Google, then release it; tried again at 19:00 UTC',
  ],
  [
    { cause: 'quota_exhausted' },
    "the day's quota of flash is spent for the project shop; tried again at 19:00 UTC; resets at midnight Pacific, 08:00 UTC",
  ],
  [
    { cause: 'model_unavailable', scope: 'key_model' },
    'this key may not use flash; tried again at 19:00 UTC',
  ],
  [
    { cause: 'model_unavailable' },
    'the project shop has no quota at all for flash; tried again at 19:00 UTC',
  ],
  [
    { cause: 'upstream_down', scope: 'ejection' },
    'it fails with flash while others answer; ejected until 19:00 UTC: the last resort until then',
  ],
  [
    { cause: 'operator', scope: 'operator', until: NOW + 30 * HOUR },
    'taken out of use by the operator; back at 00:00 UTC on 2026-11-26, or when it is released',
  ],
  [
    { cause: 'out_of_credit', scope: 'project', effect: 'needs_action' },
    'the project shop has no credit left, or its plan or spend cap ends here; needs action: fix that at Google, then release it; tried again at 19:00 UTC',
  ],
])('%o is explained as it is', (changed, sentence) => {
  expect(say(changed)).toBe(sentence);
});

it('says when a probe is due, and when one is in flight', () => {
  expect(say({ until: NOW })).toMatch(/its time has passed: the next request tries it$/);
  expect(say({ until: NOW, isProbing: true })).toMatch(/one request is trying it now$/);
});

it('promises no probe while something else keeps the key parked', () => {
  const rejected = { cause: 'key_rejected', scope: 'key', effect: 'needs_action' } as const;
  expect(say({ ...rejected, until: NOW }, NOW + 5 * HOUR)).toMatch(
    /needs action: fix that at Google, then release it; not tried before 23:00 UTC, for another reason$/,
  );
});
