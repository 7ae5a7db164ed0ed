import type { IncomingHttpHeaders } from 'node:http';
import type { CallFault, Fault } from './fault.ts';
import type { Reply } from './reply.ts';
import type { Service, StandinKey } from './standin-key.ts';

/** A provider that the stand-in plays. It answers with data and holds no connection. */
export interface Provider {
  readonly keys: KnownKeys;
  /** @returns null for a path that this provider does not have. */
  receive(head: RequestHead): Visit | null;
}

export interface RequestHead {
  readonly method: string;
  readonly path: string;
  /** Without its question mark; empty when there is none. */
  readonly query: string;
  readonly headers: IncomingHttpHeaders;
}

/** A request that found its provider; its body is still to come. */
export interface Visit {
  readonly service: Service;
  /** The key's text as it was sent; for a session start, of the key that minted its token. */
  readonly key: string;
  /** Null when the stand-in does not know the key. */
  readonly holder: KnownKey | null;
  /** Empty where the path names none. */
  readonly model: string;
  answer(text: string): Reply;
}

/** The keys of one provider, in the order in which they were given. */
export class KnownKeys {
  readonly all: readonly KnownKey[];
  readonly #service: Service;
  readonly #byText: ReadonlyMap<string, KnownKey>;
  readonly #canHave: (fault: CallFault) => boolean;

  /** @param canHave Whether the provider has this fault; another one is a TypeError. */
  constructor(
    service: Service,
    keys: readonly StandinKey[],
    canHave: (fault: CallFault) => boolean,
  ) {
    this.#service = service;
    this.#canHave = canHave;
    this.all = keys.filter((key) => key.service === service).map((key) => new KnownKey(key));
    this.#byText = new Map(this.all.map((known) => [known.shape.key, known]));
    for (const { shape } of this.all) this.setFault(shape.key, shape.fault ?? null);
  }

  find(key: string): KnownKey | null {
    return this.#byText.get(key) ?? null;
  }

  /** Does nothing for a key of another provider. */
  setFault(key: string, fault: Fault | null): void {
    const known = this.#byText.get(key);
    if (known === undefined) return;
    const ofCall = fault?.kind === 'flaky' ? fault.fault : fault;
    if (ofCall !== null && !this.#canHave(ofCall)) {
      throw new TypeError(`"${ofCall.kind}" is no fault of ${this.#service}`);
    }
    known.setFault(fault);
  }
}

/** A key that the stand-in knows, and its calls. */
export class KnownKey {
  readonly shape: StandinKey;
  /** Since the start. */
  calls = 0;
  #fault: Fault | null = null;
  #callsSinceFault = 0;

  constructor(shape: StandinKey) {
    this.shape = shape;
  }

  get project(): string {
    return this.shape.project ?? this.shape.key;
  }

  setFault(fault: Fault | null): void {
    this.#fault = fault;
    this.#callsSinceFault = 0;
  }

  /** @returns the fault of this call, which `flaky` counts. */
  nextFault(): CallFault | null {
    const fault = this.#fault;
    if (fault?.kind !== 'flaky') return fault;
    this.#callsSinceFault += 1;
    return this.#callsSinceFault % fault.every === 0 ? fault.fault : null;
  }
}
