import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Secret } from './secret.ts';

/** Replaces the text of every key, and everything that looks like a key, by a placeholder. */
export type Redact = (text: string) => string;

export interface Redactor {
  readonly redact: Redact;
  /**
   * Hides these texts too: at once if they are at most {@link MAX_RECENT}, else when the promise resolves, since more take
   * up to a second in small steps. None is forgotten: an answer may still quote a retired key.
   */
  learn(secrets: Iterable<Secret>): Promise<void>;
}

const REDACTED = '[redacted]';

/**
 * Google's two key shapes, the clients' tokens of which only a digest is known, and bearer credentials: a provider may
 * echo a key that is not one of ours.
 */
const LOOKS_LIKE_A_KEY = /AIza[\w-]{20,}|\bAQ\.[\w-]{16,}|\bus-[\w-]{43}(?![\w-])/gi;
const BEARER = /(\bBearer\s{1,4})[\w.~+/-]{12,}=*/gi;
/** One search is much cheaper than two replacements of nothing. */
const LOOKS_SECRET = new RegExp(`${BEARER.source}|${LOOKS_LIKE_A_KEY.source}`, 'i');

/**
 * Also finds keys that are escaped for a URL, a page or a JSON text, or encoded as base64 or in hexadecimal, and every
 * long part of one: a text may be cut off anywhere. The cost hardly grows with the number of keys.
 */
export function createRedact(secrets: Iterable<Secret>): Redactor {
  const known = new Set([...secrets].map((secret) => secret.reveal()));
  const layers: Layer[] = [layerOf([...known])];
  let recent = layerOf([]);
  let merging: Promise<void> | null = null;

  async function learnMany(texts: readonly string[]): Promise<void> {
    addLayer({ texts, redact: await finishInTurns(prepareRedact(texts)) });
  }

  function learnFew(texts: readonly string[]): void {
    recent = layerOf([...recent.texts, ...texts]);
    if (recent.texts.length <= MAX_RECENT) return;
    addLayer(recent);
    recent = layerOf([]);
  }

  function addLayer(layer: Layer): void {
    layers.push(layer);
    if (layers.length <= MAX_LAYERS_OF_TEXTS || merging !== null) return;
    merging = mergeSmaller().finally(() => {
      merging = null;
    });
  }

  async function mergeSmaller(): Promise<void> {
    const largest = layers.reduce((one, other) =>
      other.texts.length > one.texts.length ? other : one,
    );
    const smaller = layers.filter((layer) => layer !== largest);
    const texts = smaller.flatMap((layer) => layer.texts);
    layers.push({ texts, redact: await finishInTurns(prepareRedact(texts)) });
    for (const layer of smaller) layers.splice(layers.indexOf(layer), 1);
  }

  return {
    redact(text) {
      let safe = text;
      for (const layer of layers) safe = layer.redact(safe);
      safe = recent.redact(safe);
      if (!LOOKS_SECRET.test(safe)) return safe;
      return safe.replace(BEARER, `$1${REDACTED}`).replace(LOOKS_LIKE_A_KEY, REDACTED);
    },
    async learn(more) {
      const texts = [...more].map((secret) => secret.reveal()).filter((text) => !known.has(text));
      if (texts.length === 0) return;
      for (const text of texts) known.add(text);
      if (texts.length > MAX_RECENT) await learnMany(texts);
      else learnFew(texts);
    },
  };
}

/** Texts that are hidden together. */
interface Layer {
  readonly texts: readonly string[];
  readonly redact: Redact;
}

/** Takes a few milliseconds for {@link MAX_RECENT} texts. */
const layerOf = (texts: readonly string[]): Layer => ({
  texts,
  redact: finish(prepareRedact(texts)),
});

/** Each costs every text that is redacted a search. */
const MAX_LAYERS_OF_TEXTS = 4;

const unchanged: Redact = (text) => text;

const MAX_RECENT = 200;

/** Steps of a few milliseconds each. */
type Steps<T> = Generator<void, T>;

function finish<T>(steps: Steps<T>): T {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
  }
}

async function finishInTurns<T>(steps: Steps<T>): Promise<T> {
  for (;;) {
    const step = steps.next();
    if (step.done) return step.value;
    await nextTurn();
  }
}

/** So many letters of a key in a row are replaced; a shorter key is replaced as a whole. */
const LONG_PART = 12;

const partOf = ({ length }: string) => Math.min(length, LONG_PART);

function* prepareRedact(texts: readonly string[]): Steps<Redact> {
  if (texts.length === 0) return unchanged;
  const forms = yield* allForms(texts);
  const lengths = [...new Set(forms.map(partOf))].sort((a, b) => b - a);
  const parts: Runs[] = [];
  for (const length of lengths) {
    const some = forms.filter((form) => partOf(form) === length);
    const runs = new Runs(some, length);
    yield* runs.add(some);
    parts.push(runs);
  }
  const redactPlain: Redact = (text) => {
    let safe = text;
    for (const runs of parts) safe = runs.redact(safe);
    return safe;
  };
  const hasKey = (text: string) => redactPlain(text) !== text;
  const shortest = Math.min(...lengths);
  const redactEscaped = createRedactWords(
    lettersOf([LETTERS_OF_ESCAPES, ...forms]),
    shortest,
    (word) => {
      const plain = decode(word);
      return plain !== word && hasKey(plain);
    },
  );
  const redactHex = createRedactWords(
    lettersOf(['0123456789abcdefABCDEF']),
    Math.max(2 * shortest, MIN_ENCODED),
    (word) => [word, word.slice(1)].some((hex) => hasKey(Buffer.from(hex, 'hex').toString())),
  );
  return (text) => {
    const hasEscape = text.includes('%') || text.includes('&') || text.includes('\\');
    return redactPlain(redactHex(hasEscape ? redactEscaped(text) : text));
  };
}

function* allForms(texts: readonly string[]): Steps<readonly string[]> {
  const forms = new Set<string>();
  for (const [index, text] of texts.entries()) {
    if (index % TEXTS_PER_STEP === TEXTS_PER_STEP - 1) yield;
    forms.add(text);
    for (const form of base64Forms(text)) forms.add(form);
  }
  return [...forms];
}

const TEXTS_PER_STEP = 500;

/** A shorter encoded form may be a part of other texts by chance. */
const MIN_ENCODED = 8;

/**
 * Base64 encodes three bytes as four letters, so a key has another form for each offset within the three.
 * The letters at both ends depend on the text around the key and are left out.
 */
function base64Forms(text: string): readonly string[] {
  return [0, 1, 2].flatMap((place) => {
    const bytes = Buffer.from(' '.repeat(place) + text);
    const [from, to] = [place === 0 ? 0 : 4, Math.floor(bytes.length / 3) * 4];
    const forms = [bytes.toString('base64'), bytes.toString('base64url')];
    return to - from < MIN_ENCODED ? [] : forms.map((form) => form.slice(from, to));
  });
}

/** Finds the runs of `length` letters that some texts have. */
class Runs {
  readonly #length: number;
  readonly #step: number;
  readonly #filter: Filter;
  readonly #texts: string;
  /** A hash table: where in `#texts` a run begins, counted from 1; 0 is free. A set of strings would be ten times as large. */
  readonly #places: Int32Array;

  constructor(texts: readonly string[], length: number) {
    const half = Math.ceil(length / 2);
    this.#length = length;
    this.#step = length - half + 1;
    this.#filter = new Filter(texts, half);
    this.#texts = texts.join('');
    this.#places = new Int32Array(Math.ceil(SLOTS_PER_LETTER * this.#texts.length));
  }

  /** Must follow, with the same texts. */
  *add(texts: readonly string[]): Steps<void> {
    let start = 0;
    for (const [index, text] of texts.entries()) {
      if (index % FORMS_PER_STEP === FORMS_PER_STEP - 1) yield;
      this.#filter.add(text);
      const end = start + text.length;
      const hashes = new RollingHash(this.#texts, start, this.#length);
      for (let from = start; from + this.#length <= end; from += 1) {
        this.#places[this.#slotOf(this.#texts, from, hashes.next())] = from + 1;
      }
      start = end;
    }
  }

  /** Runs that overlap become one placeholder. */
  redact(text: string): string {
    let safe = '';
    let kept = 0;
    for (const from of this.#runsIn(text)) {
      if (from >= kept) safe += text.slice(kept, from) + REDACTED;
      kept = from + this.#length;
    }
    return kept === 0 ? text : safe + text.slice(kept);
  }

  /** Each run holds a half that begins at a multiple of the step: most texts are looked at only there. */
  #runsIn(text: string): readonly number[] {
    const step = this.#step;
    const last = text.length - this.#length;
    const found: number[] = [];
    for (let at = step - 1; at < last + step; at += step) {
      if (!this.#filter.mayHave(text, at)) continue;
      for (let from = at - step + 1; from <= at && from <= last; from += 1) {
        const hash = hashOf(text, from, this.#length);
        if (this.#places[this.#slotOf(text, from, hash)] !== 0) found.push(from);
      }
    }
    return found;
  }

  /** The slot of the run, or the free one where it belongs. */
  #slotOf(text: string, from: number, hash: number): number {
    const places = this.#places;
    let slot = hash % places.length;
    for (let place = places[slot]; place; place = places[slot]) {
      if (this.#isSame(place - 1, text, from)) break;
      slot = slot + 1 === places.length ? 0 : slot + 1;
    }
    return slot;
  }

  #isSame(place: number, text: string, from: number): boolean {
    for (let step = 0; step < this.#length; step += 1) {
      if (this.#texts.charCodeAt(place + step) !== text.charCodeAt(from + step)) return false;
    }
    return true;
  }
}

const SLOTS_PER_LETTER = 1.25;
const FORMS_PER_STEP = 1000;

/** A Bloom filter over the runs of `length` letters of some texts: a cheap test that rules out almost every other run. */
class Filter {
  readonly #length: number;
  /** All pairs of letters that stand together in the texts. */
  readonly #pairs = new Uint8Array(2 ** 14);
  readonly #shift: number;
  readonly #bits: Uint8Array;

  /** @param texts decide the size; each must be added */
  constructor(texts: readonly string[], length: number) {
    const letters = texts.reduce((sum, text) => sum + text.length, 0);
    const size = Math.max(8, Math.ceil(Math.log2(BITS_PER_LETTER * letters)));
    this.#length = length;
    this.#shift = 32 - size;
    this.#bits = new Uint8Array(2 ** (size - 3));
  }

  add(text: string): void {
    for (let at = 0; at + 1 < text.length; at += 1) this.#pairs[pairAt(text, at)] = 1;
    const hashes = new RollingHash(text, 0, this.#length);
    for (let from = 0; from + this.#length <= text.length; from += 1) this.#addRun(hashes.next());
  }

  mayHave(text: string, from: number): boolean {
    const end = from + this.#length;
    // Cheaper than the hash, and enough for most texts: they have pairs, such as with a space, that no key has.
    for (let at = from; at + 1 < end; at += 2) {
      if (this.#pairs[pairAt(text, at)] === 0) return false;
    }
    const bit = hashOf(text, from, this.#length) >>> this.#shift;
    return ((this.#bits[bit >>> 3] ?? 0) & (1 << (bit & 7))) !== 0;
  }

  #addRun(hash: number): void {
    const bit = hash >>> this.#shift;
    this.#bits[bit >>> 3] = (this.#bits[bit >>> 3] ?? 0) | (1 << (bit & 7));
  }
}

const pairAt = (text: string, at: number): number =>
  ((text.charCodeAt(at) & 127) << 7) | (text.charCodeAt(at + 1) & 127);

const BITS_PER_LETTER = 16;

/** The higher bits depend on every letter. */
function hashOf(text: string, from: number, length: number): number {
  let hash = 0;
  for (let at = from; at < from + length; at += 1) {
    hash = (Math.imul(hash, FACTOR) + text.charCodeAt(at)) | 0;
  }
  return mixed(hash);
}

const FACTOR = 0x5bd1e995;

const mixed = (hash: number) => (hash ^ (hash >>> 15)) >>> 0;

/** What `hashOf` gives for each run of a text in turn: each from the one before. */
class RollingHash {
  readonly #text: string;
  readonly #length: number;
  /** By how much the first letter of a run counts. */
  readonly #first: number;
  #from: number;
  /** Of the run before. */
  #hash = 0;

  constructor(text: string, from: number, length: number) {
    this.#text = text;
    this.#from = from;
    this.#length = length;
    let first = 1;
    for (let step = 1; step < length; step += 1) first = Math.imul(first, FACTOR);
    this.#first = first;
    for (let at = from; at < from + length - 1; at += 1) {
      this.#hash = (Math.imul(this.#hash, FACTOR) + text.charCodeAt(at)) | 0;
    }
  }

  next(): number {
    const hash =
      (Math.imul(this.#hash, FACTOR) + this.#text.charCodeAt(this.#from + this.#length - 1)) | 0;
    this.#hash = (hash - Math.imul(this.#text.charCodeAt(this.#from), this.#first)) | 0;
    this.#from += 1;
    return mixed(hash);
  }
}

/**
 * Replaces each word of these letters that holds a key in another form. Steps of the length of the shortest word miss
 * none.
 */
function createRedactWords(
  letters: Uint8Array,
  shortest: number,
  hasKey: (word: string) => boolean,
): Redact {
  return (text) => {
    let safe = '';
    let kept = 0;
    for (let at = shortest - 1; at < text.length; at += shortest) {
      if (letters[text.charCodeAt(at)] !== 1) continue;
      const [from, to] = wordAround(at, text, letters);
      at = to - 1;
      const word = text.slice(from, to);
      if (word.length < shortest || !hasKey(word)) continue;
      // A backslash at the end belongs to the letter behind the word.
      safe += text.slice(kept, from) + REDACTED + word.slice(word.search(BACKSLASHES_AT_END));
      kept = to;
    }
    return safe + text.slice(kept);
  };
}

const BACKSLASHES_AT_END = /(?<!\\)\\*$/;

function wordAround(at: number, text: string, letters: Uint8Array): [from: number, to: number] {
  let from = at;
  let to = at + 1;
  while (letters[text.charCodeAt(from - 1)] === 1) from -= 1;
  while (letters[text.charCodeAt(to)] === 1) to += 1;
  return [from, to];
}

/** 1 at the code of every letter of these texts. */
function lettersOf(texts: Iterable<string>): Uint8Array {
  const letters = new Uint8Array(0x10000);
  for (const text of texts) {
    for (let at = 0; at < text.length; at += 1) letters[text.charCodeAt(at)] = 1;
  }
  return letters;
}

/** Of those that `decode` knows. */
const LETTERS_OF_ESCAPES = '0123456789abcdefABCDEFuxX%&#;\\';

const ESCAPE = /%([\da-f]{2})|&#x0*([\da-f]{1,4});|\\u([\da-f]{4})|&#0*(\d{1,4});|\\(.)/gi;

/** A text may be escaped more than once. */
const MAX_LAYERS = 3;

/** Replaces the escapes of a URL, a page and a JSON text by what they stand for. */
function decode(word: string): string {
  let plain = word;
  for (let layer = 0; layer < MAX_LAYERS && /[%&\\]/.test(plain); layer += 1) {
    plain = plain.replace(ESCAPE, (_, url, page, json, decimal, letter) => {
      if (letter !== undefined) return letter;
      const hexadecimal = url ?? page ?? json;
      return String.fromCharCode(
        decimal === undefined ? Number.parseInt(hexadecimal, 16) : Number(decimal),
      );
    });
  }
  return plain;
}

/** No key is longer than this. */
const MAX_WORD = 512;
const WORD_AT_START = /^[^\s"',:;<>(){}[\]]+/;
const WORD_AT_END = /[^\s"',:;<>(){}[\]]+$/;

// A provider's text is cut at a whole word: redaction would not find a short part of a key at the cut.

/** @param cut the beginning of a text that was cut off at its end */
export function withoutLastWord(cut: string): string {
  return cut.slice(0, -MAX_WORD) + cut.slice(-MAX_WORD).replace(WORD_AT_END, '');
}

/** @param cut the end of a text that was cut off at its beginning */
export function withoutFirstWord(cut: string): string {
  return cut.slice(0, MAX_WORD).replace(WORD_AT_START, '') + cut.slice(MAX_WORD);
}
