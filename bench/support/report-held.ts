/** Loaded into a server, it prints what the process holds, as one line of JSON, on SIGUSR2. */
import { Session } from 'node:inspector/promises';

process.on('SIGUSR2', async () => console.log(JSON.stringify({ held: await countHeld() })));

/** What a process has not let go of. */
export interface Held {
  /** That are still to fire and keep the process alive. */
  readonly timers: number;
  /** On every emitter and every abort signal that cannot be collected. */
  readonly listeners: number;
  /** What is alive on the heap, in MB. */
  readonly heapMb: number;
}

/** Counts within this process after a full garbage collection, which stops it for a while. */
async function countHeld(): Promise<Held> {
  const listeners = await countListeners();
  const timers = process.getActiveResourcesInfo().filter((kind) => kind === 'Timeout').length;
  return { timers, listeners, heapMb: process.memoryUsage().heapUsed / 2 ** 20 };
}

async function countListeners(): Promise<number> {
  const session = new Session();
  session.connect();
  try {
    const onEmitters = await sumOverLive(session, EMITTER, LISTENERS_OF_EMITTERS);
    return onEmitters + (await sumOverLive(session, 'AbortSignal', LISTENERS_OF_SIGNALS));
  } finally {
    session.disconnect();
  }
}

/** Run by the inspector, which alone can find what is alive on the heap. */
const EMITTER = `process.getBuiltinModule('node:events').EventEmitter`;
const LISTENERS_OF_EMITTERS = `function () {
  const listenersOf = (emitter) => Object.values(emitter._events ?? {}).flat();
  return this.flatMap(listenersOf).filter((one) => typeof one === 'function').length;
}`;
const LISTENERS_OF_SIGNALS = `function () {
  const { getEventListeners } = process.getBuiltinModule('node:events');
  const signals = this.filter((one) => one !== AbortSignal.prototype);
  return signals.flatMap((one) => getEventListeners(one, 'abort')).length;
}`;

async function sumOverLive(session: Session, kind: string, sum: string): Promise<number> {
  const prototype = await session.post('Runtime.evaluate', { expression: `${kind}.prototype` });
  const prototypeObjectId = prototype.result.objectId ?? '';
  const { objects } = await session.post('Runtime.queryObjects', { prototypeObjectId });
  const { result, exceptionDetails } = await session.post('Runtime.callFunctionOn', {
    objectId: objects.objectId ?? '',
    functionDeclaration: sum,
    returnByValue: true,
  });
  if (exceptionDetails !== undefined) throw new Error(exceptionDetails.exception?.description);
  return Number(result.value);
}
