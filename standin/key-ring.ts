import type { Service } from '../src/shared/api-key.ts';
import type { Fault, Flaky } from './fault.ts';
import type { StandinKey } from './standin-key.ts';

/** What strikes a call, once `flaky` has been decided. */
export type CallFault = Exclude<Fault, Flaky>;

/** The keys of one service. */
export class KeyRing {
  /** In the order in which they were given. */
  readonly keys: readonly HeldKey[];
  readonly #service: Service;
  readonly #byText: ReadonlyMap<string, HeldKey>;
  readonly #isKnown: (fault: CallFault) => boolean;

  /** @param isKnown Whether the service can fail like that; another fault is a TypeError. */
  constructor(
    service: Service,
    keys: readonly StandinKey[],
    isKnown: (fault: CallFault) => boolean,
  ) {
    const ours = keys.filter((shape) => shape.service === service);
    this.#service = service;
    this.#isKnown = isKnown;
    this.keys = ours.map((shape, index) => new HeldKey(shape, index));
    this.#byText = new Map(this.keys.map((held) => [held.shape.key, held]));
    for (const { key, fault = null } of ours) this.setFault(key, fault);
  }

  find(key: string): HeldKey | null {
    return this.#byText.get(key) ?? null;
  }

  /** A key of another service is left alone. */
  setFault(key: string, fault: Fault | null): void {
    const held = this.#byText.get(key);
    if (held === undefined) return;
    const struck = fault?.kind === 'flaky' ? fault.fault : fault;
    if (struck !== null && !this.#isKnown(struck)) {
      throw new TypeError(`"${struck.kind}" is no fault of ${this.#service}`);
    }
    held.setFault(fault);
  }
}

/** A key that the stand-in knows, and what it has seen of it. */
export class HeldKey {
  readonly shape: StandinKey;
  /** Its place among the keys of its service. */
  readonly index: number;
  /** Since the start. */
  calls = 0;
  #fault: Fault | null = null;
  #callsSinceFault = 0;

  constructor(shape: StandinKey, index: number) {
    this.shape = shape;
    this.index = index;
  }

  get project(): string {
    return this.shape.project ?? this.shape.key;
  }

  setFault(fault: Fault | null): void {
    this.#fault = fault;
    this.#callsSinceFault = 0;
  }

  /** @returns the fault of this call, which counts as one of those that `flaky` lets pass. */
  nextFault(): CallFault | null {
    const fault = this.#fault;
    if (fault?.kind !== 'flaky') return fault;
    this.#callsSinceFault += 1;
    return this.#callsSinceFault % fault.every === 0 ? fault.fault : null;
  }
}
