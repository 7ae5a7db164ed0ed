import { setImmediate as nextTurn } from 'node:timers/promises';
import { expect, it } from 'vitest';
import type { Alerts } from '../../src/observability/alerts.ts';
import { Incidents } from '../../src/observability/incidents.ts';
import type { Situation, Verdict } from '../../src/observability/reports.ts';
import { situation } from '../../src/observability/situation.ts';
import { createTroubles } from '../../src/observability/troubles.ts';
import { type DurableStore, StoreUnavailableError } from '../../src/shared/durable-store.ts';
import { createLogger } from '../../src/shared/logger.ts';
import { createMemoryStore } from '../../src/sharing/memory-store.ts';
import { createFakeClock } from '../support/fake-clock.ts';

const SECOND = 1000;
const DAY = 86_400_000;
const clockOfTests = () => createFakeClock(Date.UTC(2026, 10, 24, 18));
type Clock = ReturnType<typeof clockOfTests>;

type Given = Parameters<typeof situation>[1];
const OUT: Given = {
  ...{ kind: 'keys_out', look: 'bad', fault: 'quota', service: 'google', remedy: 'Wait.' },
  sentence: 'Every Google key has used up its quota.',
};

/** An instance that sees what it is told to see. */
function startInstanceOf(
  clock: Clock,
  store: DurableStore,
  instance: string,
  alerts: Alerts | null = null,
) {
  const troubles = createTroubles(() => 0);
  let situations: readonly Situation[] = [];
  const verdict = (): Verdict => ({ look: 'good', situations: [...situations] });
  const errors: string[] = [];
  const destination = { write: (line: string) => void errors.push(line) };
  const log = createLogger({ level: 'info', redact: (text) => text, destination });
  const incidents = new Incidents({ verdict, troubles, store, clock, log, instance, alerts });
  incidents.start();
  return {
    incidents,
    errors,
    sees: (...seen: Given[]) => {
      situations = seen.map((one) => situation(clock.now(), one));
    },
  };
}

const listOf = async (instance: { readonly incidents: Incidents } | undefined) =>
  (await instance?.incidents.list(0))?.incidents ?? [];

async function pass(clock: Clock, seconds: number): Promise<void> {
  for (let passed = 0; passed < seconds; passed += 1) {
    clock.advance(SECOND);
    for (let turn = 0; turn < 3; turn += 1) await nextTurn();
  }
}

/** Sends nothing; what it is asked to send stays on its way until it is told. */
function createPendingAlerts() {
  const sent: string[] = [];
  const ends: ((outcome: 'sent' | 'failed' | 'stopped') => void)[] = [];
  const alerts: Alerts = {
    announces: () => true,
    hasRoom: () => true,
    send: (event) => {
      sent.push(event);
      return new Promise((resolve) => ends.push(resolve));
    },
    test: async () => ({ isSent: false, status: null, sentence: '' }),
    stop: async () => {},
  };
  return { alerts, sent, end: (outcome: 'sent' | 'stopped') => ends.shift()?.(outcome) };
}

it('two instances that see the same have one incident, with the requests of both', async () => {
  const clock = clockOfTests();
  const store = createMemoryStore(clock.now);
  const [one, other] = ['one', 'other'].map((name) => startInstanceOf(clock, store, name));
  one?.sees({ ...OUT, requestsAffected: 3 });
  other?.sees({ ...OUT, requestsAffected: 4 });
  await pass(clock, 40);
  const listed = await listOf(one);
  expect(listed).toMatchObject([{ kind: 'keys_out', to: null, requestsAffected: 7 }]);
  one?.sees();
  await pass(clock, 200);
  expect(await listOf(other)).toMatchObject([{ id: listed[0]?.id, to: null }]);
  other?.sees();
  await pass(clock, 200);
  expect(await listOf(one)).toMatchObject([
    { id: listed[0]?.id, to: expect.any(String), requestsAffected: 7 },
  ]);
});

it('what a process left open when it died ends when it was last seen', async () => {
  const clock = clockOfTests();
  const store = createMemoryStore(clock.now);
  const dead = startInstanceOf(clock, store, 'dead');
  dead.sees(OUT);
  await pass(clock, 30);
  await dead.incidents.stop();
  const died = clock.now();
  clock.advance(3_600_000);
  const next = startInstanceOf(clock, store, 'next');
  await pass(clock, 89);
  expect(await listOf(next)).toMatchObject([{ to: null }]);
  await pass(clock, 10);
  const [incident] = await listOf(next);
  expect(died - Date.parse(incident?.to ?? '')).toBeLessThan(15 * SECOND);
});

it('what still lasts after a restart goes on', async () => {
  const clock = clockOfTests();
  const store = createMemoryStore(clock.now);
  const before = startInstanceOf(clock, store, 'before');
  before.sees({ ...OUT, requestsAffected: 2 });
  await pass(clock, 30);
  await before.incidents.stop();
  const [left] = await listOf(before);
  const after = startInstanceOf(clock, store, 'after');
  after.sees({ ...OUT, requestsAffected: 5 });
  await pass(clock, 300);
  expect(await listOf(after)).toMatchObject([
    { id: left?.id, from: left?.from, to: null, requestsAffected: 7 },
  ]);
});

it('is written when the store is back, with its real beginning', async () => {
  const clock = clockOfTests();
  const memory = createMemoryStore(clock.now);
  let isDown = true;
  const guarded =
    <Arguments extends unknown[], Value>(call: (...given: Arguments) => Promise<Value>) =>
    async (...given: Arguments) => {
      if (isDown) throw new StoreUnavailableError('down');
      return call(...given);
    };
  const store = { ...memory, read: guarded(memory.read), write: guarded(memory.write) };
  const { incidents, sees, errors } = startInstanceOf(clock, store, 'one');
  const begin = clock.now();
  sees(OUT);
  await pass(clock, 60);
  sees();
  await pass(clock, 200);
  const known = await incidents.list(0);
  expect(known).toMatchObject({ isComplete: false, incidents: [{ to: expect.any(String) }] });
  isDown = false;
  await pass(clock, 200);
  const { incidents: listed, isComplete } = await incidents.list(0);
  expect([listed, isComplete]).toEqual([known.incidents, true]);
  const [incident] = listed;
  expect(Date.parse(incident?.from ?? '')).toBe(begin);
  expect(Date.parse(incident?.to ?? '') - begin).toBeLessThanOrEqual(60 * SECOND);
  expect(errors).toEqual([]);
});

it('is forgotten 30 days after its end, and those that cannot be read are passed over', async () => {
  const clock = clockOfTests();
  const store = createMemoryStore(clock.now);
  await store.write('open-incidents', [{ name: 'odd', text: '{"of":"a later version"}' }]);
  const { incidents, sees } = startInstanceOf(clock, store, 'one');
  sees(OUT);
  await pass(clock, 30);
  sees();
  await pass(clock, 120);
  await incidents.stop();
  expect((await incidents.list(0)).incidents).toHaveLength(1);
  clock.advance(30 * DAY - 200 * SECOND);
  expect((await incidents.list(0)).incidents).toHaveLength(1);
  clock.advance(200 * SECOND);
  expect((await incidents.list(0)).incidents).toEqual([]);
});

it('an announcement that an instance left on its way is sent by another a minute later', async () => {
  const clock = clockOfTests();
  const store = createMemoryStore(clock.now);
  const [first, second] = [createPendingAlerts(), createPendingAlerts()];
  const dying = startInstanceOf(clock, store, 'dying', first.alerts);
  dying.sees(OUT);
  await pass(clock, 20);
  const living = startInstanceOf(clock, store, 'living', second.alerts);
  living.sees(OUT);
  await pass(clock, 180);
  expect([first.sent, second.sent]).toEqual([['incident.began'], []]);
  first.end('stopped');
  await dying.incidents.stop();
  await pass(clock, 35);
  expect(second.sent).toEqual([]);
  await pass(clock, 40);
  expect(second.sent).toEqual(['incident.began']);
  second.end('sent');
  await pass(clock, 5);
  expect(await listOf(living)).toMatchObject([{ isNotified: true }]);
});

it('further keys that need action are announced a quarter of an hour after the first', async () => {
  const clock = clockOfTests();
  const { alerts, sent, end } = createPendingAlerts();
  const { sees } = startInstanceOf(clock, createMemoryStore(clock.now), 'one', alerts);
  const rejected = (keysInAll: number) =>
    sees({ ...OUT, kind: 'key_needs_action', look: 'wait', fault: 'key', keysInAll });
  rejected(1);
  await pass(clock, 20);
  end('sent');
  rejected(2);
  await pass(clock, 14 * 60);
  expect(sent).toEqual(['incident.began']);
  await pass(clock, 70);
  expect(sent).toEqual(['incident.began', 'incident.updated']);
});

it('the last refusals of an outage are no incident of their own', async () => {
  const clock = clockOfTests();
  const { incidents, sees } = startInstanceOf(clock, createMemoryStore(clock.now), 'one');
  sees(OUT);
  await pass(clock, 30);
  sees({ ...OUT, kind: 'refusals', look: 'wait' });
  await pass(clock, 60);
  expect((await incidents.list(0)).incidents.map(({ kind }) => kind)).toEqual(['keys_out']);
});
