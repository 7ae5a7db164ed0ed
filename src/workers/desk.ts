import { type FromPrimary, type FromWorker, outcomeOf } from './messages.ts';

/** What the primary has of its workers. Payloads and replies are what JSON can say. */
export interface Desk {
  /**
   * How the primary answers a worker's call; of two ways for one topic the later holds. What it
   * throws, the caller gets as a refusal with the same sentence.
   *
   * @param reply `from` is the worker's number, never used twice
   */
  handle(topic: string, reply: (payload: unknown, from: number) => unknown): void;
  /** Sends to every worker but `except`, those too that are only starting or already leaving. */
  send(topic: string, payload: unknown, except?: number): void;
  /** A worker is gone. */
  onGone(listener: (worker: number) => void): void;
}

/** A worker, as far as one can talk to it. */
export interface Peer {
  readonly id: number;
  /**
   * Whether it has come to listen. One that is leaving still does so in this sense: the requests that
   * it has in flight are the service's, so it is asked until it is gone.
   */
  hasListened(): boolean;
  send(message: FromPrimary): void;
}

export interface Switchboard {
  readonly desk: Desk;
  admit(peer: Peer): void;
  receive(from: Peer, message: FromWorker): void;
  dismiss(peer: Peer): void;
}

/** Where calls are answered, and questions and their answers passed on between workers. */
export function createSwitchboard(): Switchboard {
  const peers = new Map<number, Peer>();
  const handlers = new Map<string, (payload: unknown, from: number) => unknown>();
  const goneListeners: ((worker: number) => void)[] = [];

  async function answer(peer: Peer, { id, topic, payload }: CallMessage): Promise<void> {
    const handler = handlers.get(topic);
    const run = handler && ((asked: unknown) => handler(asked, peer.id));
    peer.send({ kind: 'called', id, outcome: await outcomeOf(run, payload) });
  }

  function passOn(asker: Peer, { id, topic, question }: AskMessage): void {
    const others = [...peers.values()].filter((peer) => peer !== asker && peer.hasListened());
    asker.send({ kind: 'asked', id, count: others.length });
    for (const peer of others) peer.send({ kind: 'question', from: asker.id, id, topic, question });
  }

  return {
    desk: {
      handle: (topic, reply) => void handlers.set(topic, reply),
      send(topic, payload, except) {
        for (const peer of peers.values()) {
          if (peer.id !== except) peer.send({ kind: 'news', topic, payload });
        }
      },
      onGone: (listener) => void goneListeners.push(listener),
    },
    admit: (peer) => void peers.set(peer.id, peer),
    receive(from, message) {
      switch (message.kind) {
        case 'call':
          return void answer(from, message);
        case 'ask':
          return passOn(from, message);
        case 'reply': {
          const { to, id, outcome } = message;
          return peers.get(to)?.send({ kind: 'reply', id, outcome });
        }
        default:
          return message satisfies never;
      }
    },
    dismiss({ id }) {
      peers.delete(id);
      for (const listener of goneListeners) listener(id);
    },
  };
}

type CallMessage = Extract<FromWorker, { kind: 'call' }>;
type AskMessage = Extract<FromWorker, { kind: 'ask' }>;
