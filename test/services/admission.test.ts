import { expect, it } from 'vitest';
import type { EndedTrace } from '../../src/failover/trace.ts';
import { WEB } from '../../src/failover/wait-queue.ts';
import { FairShare } from '../../src/pool/fair-share.ts';
import { createAdmission } from '../../src/services/admission.ts';
import { Clients, UNLIMITED } from '../../src/services/clients.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { createMemoryStore } from '../../src/sharing/memory-store.ts';
import { createFakeClock } from '../support/fake-clock.ts';
import { google } from '../support/pool.ts';

it('what a client uses after it was revoked counts for nobody', async () => {
  const clock = createFakeClock(Date.UTC(2026, 10, 24, 18));
  const shares = new FairShare({ capacityOf: () => null, minuteMs: 60_000, changed: null });
  const clients = new Clients({
    ...{ tokens: [], aliases: new Map(), clock, store: createMemoryStore(clock.now) },
    log: createLogger({ level: 'silent', redact: (text) => text, destination: { write() {} } }),
    revoked: (name) => shares.forget(name),
  });
  const { sink } = createAdmission({ clients, shares, clock, used() {}, refused() {} });
  await clients.make('other', UNLIMITED);
  await clients.make('shop', UNLIMITED);
  await clients.revoke('shop');
  const target = google('flash');
  shares.admit(WEB, target, clock.now());
  const ended = {
    ...{ requestId: 'one', client: 'shop', targets: [target] },
    operation: 'chat',
    ...{ startedAt: clock.now(), ms: 0, waitedMs: 0, attempts: [], failovers: 0, success: null },
    ...{ hedge: null, span: null },
    end: { kind: 'refused', code: 'all_keys_exhausted', retryAfterMs: null },
  } satisfies EndedTrace;
  sink.requestHadTrouble?.(ended);
  sink.requestEnded?.(ended);
  expect(shares.use(shares.claimOf(WEB, target), clock.now())).toMatchObject({ requests: 1 });
});
