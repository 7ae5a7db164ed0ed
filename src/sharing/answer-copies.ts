import { isJsonObject, parseJson } from '../shared/json.ts';
import type { AnswerListener, AnswerStore, ReadPart, WriteAnswer } from '../shared/shared-store.ts';
import type { RedisConnection } from './redis-connection.ts';

export interface AnswerStoreOptions {
  readonly connection: RedisConnection;
  readonly instance: string;
  readonly channel: string;
  /** The Redis keys of an answer's state and of its text. */
  keysOf(name: string): readonly [string, string];
  listen(listener: AnswerListener): void;
}

/** Longer than an answer goes on without a reader. Every write starts it again. */
const KEEP_MS = 90_000;
/** Long enough for its current readers. */
const KEEP_ENDED_MS = 10_000;

const STOPPED = JSON.stringify({ kind: 'stopped' });
const STATES = { taken: '', stopped: STOPPED, lost: JSON.stringify({ kind: 'lost' }) } as const;

/** The copies of running answers in Redis. */
export function createAnswerStore(options: AnswerStoreOptions): AnswerStore {
  const { connection, instance, channel, keysOf, listen } = options;
  const messageOf = (what: keyof AnswerListener, name: string) => `${instance}\n${what}\n${name}\n`;
  return {
    listen,
    async write({ name, id, isNew, from, text, state, isTaken }) {
      const answer = await connection.run((client) =>
        client.writeAnswer(
          ...[...keysOf(name), id, isNew ? '1' : '0', String(from), text, JSON.stringify(state)],
          ...[isTaken ? '1' : '0', String(KEEP_MS), STOPPED, channel, messageOf('gone', name)],
        ),
      );
      return readResult(answer);
    },
    async read(name, id, from) {
      const answer = await connection.run((client) =>
        client.readAnswer(...keysOf(name), id ?? '', String(from), STOPPED),
      );
      return readPart(answer);
    },
    async end(name, id, how) {
      const message = messageOf(how === 'stopped' ? 'stopped' : 'gone', name);
      await connection.run((client) =>
        client.endAnswer(
          ...[...keysOf(name), id ?? '', STATES[how], String(KEEP_ENDED_MS), channel, message],
        ),
      );
    },
  };
}

const RESULTS = ['written', 'incomplete', 'gone', 'stopped'] as const;

function readResult(answer: unknown): WriteAnswer {
  const [given, readMs] = Array.isArray(answer) ? answer : [];
  const result = RESULTS.find((known) => known === given);
  if (result === undefined) throw new Error('an unreadable answer');
  return { result, readMs: readMs >= 0 ? readMs : null };
}

function readPart(answer: unknown): ReadPart | null {
  if (!Array.isArray(answer)) return null;
  const [id, written, ageMs, text] = answer;
  const state = parseJson(String(written));
  if (!isJsonObject(state) || typeof state.kind !== 'string') return null;
  return { id, text, ageMs, state: state as unknown as ReadPart['state'] };
}
