import { isJsonObject, type JsonObject } from '../shared/json.ts';
import { bodyTooLarge } from './errors.ts';

/**
 * `useChat` sends the whole conversation with each turn, with all its images. So a chat's body may be longer than the
 * limit: up to this many times as long.
 */
export const LONGEST_BODY = 5;

/** Without the scheme. A shorter image stays: leaving it out would save little. */
const MIN_IMAGE_BYTES = 4096;

/**
 * Receives a body of the AI SDK that is longer than its limit, and leaves out the oldest images while the body arrives,
 * so that it never holds much more than the limit. An image is a data URL in `messages[].parts[].url`. Nothing else is
 * left out.
 */
export class OlderImages {
  readonly #limit: number;
  /** In the order of the body. A text section is everything between two images. */
  readonly #sections: Section[] = [new Section(false)];
  /** Index of the oldest section that may still be an image to leave out. */
  #oldest = 0;
  /** How many bytes are kept: more than the limit if nothing can be left out. */
  size = 0;
  readonly #scanner = new JsonScanner();
  #hasLeftOut = false;

  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @returns the size afterwards */
  add(chunk: Buffer): number {
    let at = 0;
    while (at < chunk.length) {
      const isImage = this.#scanner.isInImage;
      const end = this.#scanner.advance(chunk, at);
      if (end > at) this.#keep(chunk.subarray(at, end), isImage);
      at = end;
    }
    while (this.size > this.#limit && this.#leaveOutOldest());
    return this.size;
  }

  get beginning(): Buffer | undefined {
    return this.#sections[0]?.pieces[0];
  }

  /** @returns the bytes that are kept; this object releases them */
  take(): Buffer {
    return Buffer.concat(this.#sections.splice(0).flatMap(({ pieces }) => pieces));
  }

  /**
   * Adds a note to the prompt for each image that was left out.
   *
   * @param body as parsed; it is changed
   * @throws HttpError 413 when an image of the current question was left out
   */
  mark(body: unknown): void {
    if (!this.#hasLeftOut || !isJsonObject(body) || !Array.isArray(body.messages)) return;
    const { messages } = body;
    const current = messages.findLastIndex((one) => isJsonObject(one) && one.role === 'user');
    for (const [index, message] of messages.entries()) {
      if (!isJsonObject(message) || !Array.isArray(message.parts)) continue;
      if (!message.parts.some(isLeftOut)) continue;
      if (index >= current) throw bodyTooLarge(this.#limit);
      const { role, parts } = message;
      messages[index] = {
        ...message,
        parts: parts.flatMap((part) => (isLeftOut(part) ? noteOf(part, role) : [part])),
      };
    }
  }

  #keep(bytes: Buffer, isImage: boolean): void {
    this.size += bytes.length;
    if (!isImage) this.#joinShortImage();
    const last = this.#sections.at(-1);
    if (last?.isImage === isImage) {
      last.add(bytes);
      return;
    }
    const section = new Section(isImage);
    section.add(bytes);
    this.#sections.push(section);
  }

  #joinShortImage(): void {
    const [before, last] = this.#sections.slice(-2);
    if (last?.isImage !== true || last.size >= MIN_IMAGE_BYTES) return;
    this.#sections.pop();
    this.#oldest = Math.min(this.#oldest, this.#sections.length);
    for (const piece of last.pieces) before?.add(piece);
  }

  /** @returns false when no complete image is left */
  #leaveOutOldest(): boolean {
    const complete = this.#sections.length - (this.#scanner.isInImage ? 1 : 0);
    for (; this.#oldest < complete; this.#oldest += 1) {
      const section = this.#sections[this.#oldest];
      if (section?.isImage !== true || section.size < MIN_IMAGE_BYTES) continue;
      this.size += LEFT_OUT.length - section.size;
      section.becomeText(LEFT_OUT);
      this.#hasLeftOut = true;
      return true;
    }
    return false;
  }
}

/** This many small pieces are joined into one buffer. */
const MAX_PIECES = 1000;

class Section {
  isImage: boolean;
  #pieces: Buffer[] = [];
  /** How many of the pieces are already joined. */
  #joined = 0;
  size = 0;

  constructor(isImage: boolean) {
    this.isImage = isImage;
  }

  get pieces(): readonly Buffer[] {
    return this.#pieces;
  }

  /** Text is copied: a slice would keep the memory of the images that arrived in the same chunk. */
  add(bytes: Buffer): void {
    this.#pieces.push(this.isImage ? bytes : Buffer.from(bytes));
    this.size += bytes.length;
    if (this.#pieces.length - this.#joined < MAX_PIECES) return;
    this.#pieces.push(Buffer.concat(this.#pieces.splice(this.#joined)));
    this.#joined = this.#pieces.length;
  }

  becomeText(bytes: Buffer): void {
    this.isImage = false;
    this.#pieces = [bytes];
    this.#joined = 0;
    this.size = bytes.length;
  }
}

const SCHEME = 'data:';
const LEFT_OUT_URL = `${SCHEME},left-out`;
/** Replaces what follows the scheme, up to and including the closing quote. */
const LEFT_OUT = Buffer.from(`${LEFT_OUT_URL.slice(SCHEME.length)}"`);

const isLeftOut = (part: unknown): part is JsonObject =>
  isJsonObject(part) && part.url === LEFT_OUT_URL;

/** A note stands only in messages of the user: within an answer the model would take it for its own text. */
function noteOf({ mediaType }: JsonObject, role: unknown): readonly JsonObject[] {
  if (role !== 'user') return [];
  const kind = typeof mediaType === 'string' && !mediaType.startsWith('image/') ? 'file' : 'image';
  const why = 'It has been left out, because the conversation is too large.';
  return [{ type: 'text', text: `[An earlier ${kind} was here. ${why}]` }];
}

const [QUOTE, BACKSLASH, COLON, COMMA, BRACE, BRACKET, BRACE_END, BRACKET_END] =
  Buffer.from('"\\:,{[}]');
const SCHEME_BYTES = Buffer.from(SCHEME);
const NAME_BYTES = Buffer.from('url');

/** The nesting depth of a part's fields: `{ messages [ { parts [ {`. */
const DEPTH_OF_PARTS = 5;

/** The first bytes of a string are read one by one. Only then is its end searched for, which is slower for short strings. */
const STEP = 64;

/** Reads JSON only as far as needed to find the images. Invalid JSON causes no error here. */
class JsonScanner {
  #state: 'between' | 'string' | 'image' = 'between';
  #depth = 0;
  #isEscaped = false;
  #isValue = false;
  /** How much of the current string was read, and what it may still be. */
  #length = 0;
  #mayBeImage = false;
  #mayBeName = false;
  /** Whether the next value belongs to the field `url`. */
  #isUrl = false;

  get isInImage(): boolean {
    return this.#state === 'image';
  }

  /** @returns the end, in this chunk, of the image or text that begins or continues at `start` */
  advance(chunk: Buffer, start: number): number {
    if (this.isInImage) return this.#readString(chunk, start);
    let at = start;
    while (at < chunk.length && !this.isInImage) {
      at = this.#state === 'string' ? this.#readString(chunk, at) : this.#readBetween(chunk, at);
    }
    return at;
  }

  #readBetween(chunk: Buffer, start: number): number {
    for (let at = start; at < chunk.length; at += 1) {
      switch (chunk[at]) {
        case QUOTE:
          this.#beginString();
          return at + 1;
        case COLON:
          this.#isValue = true;
          break;
        case COMMA:
          this.#isValue = false;
          break;
        case BRACE:
        case BRACKET:
          this.#goTo(this.#depth + 1);
          break;
        case BRACE_END:
        case BRACKET_END:
          this.#goTo(this.#depth - 1);
      }
    }
    return chunk.length;
  }

  #goTo(depth: number): void {
    this.#depth = depth;
    this.#isValue = false;
  }

  #beginString(): void {
    this.#state = 'string';
    this.#length = 0;
    this.#mayBeImage = this.#isValue && this.#isUrl && this.#depth === DEPTH_OF_PARTS;
    this.#mayBeName = !this.#isValue;
    if (!this.#isValue) this.#isUrl = false;
  }

  /** @returns the position after the closing quote, or after the scheme of an image, or the end of the chunk */
  #readString(chunk: Buffer, start: number): number {
    let at = start;
    while (at < chunk.length) {
      const end = Math.min(chunk.length, at + STEP);
      for (; at < end; at += 1) {
        if (this.#readByte(chunk[at] ?? 0) && !this.#isShortImage(chunk, at + 1)) return at + 1;
      }
      at = this.#skipToQuote(chunk, at);
    }
    return at;
  }

  /** @returns whether this byte ends the string, or completes the scheme of an image */
  #readByte(byte: number): boolean {
    const isEscaped = this.#isEscaped;
    this.#isEscaped = byte === BACKSLASH && !isEscaped;
    if (byte === QUOTE && !isEscaped) {
      this.#isUrl ||= this.#mayBeName && this.#length === NAME_BYTES.length;
      this.#state = 'between';
      return true;
    }
    if (!this.#mayBeImage && !this.#mayBeName) return false;
    this.#mayBeImage &&= byte === SCHEME_BYTES[this.#length];
    this.#mayBeName &&= byte === NAME_BYTES[this.#length];
    this.#length += 1;
    if (!this.#mayBeImage || this.#length < SCHEME_BYTES.length) return false;
    this.#mayBeImage = false;
    this.#state = 'image';
    return true;
  }

  /** Treats a short image as text if its end is in this chunk: a body may hold a million of them. */
  #isShortImage(chunk: Buffer, start: number): boolean {
    if (!this.isInImage) return false;
    const quote = chunk.indexOf('"', start);
    const isShort = quote >= 0 && quote - start < MIN_IMAGE_BYTES;
    if (isShort) this.#state = 'string';
    return isShort;
  }

  #skipToQuote(chunk: Buffer, start: number): number {
    const quote = chunk.indexOf('"', start);
    const end = quote < 0 ? chunk.length : quote;
    let first = end;
    while (first > start && chunk[first - 1] === BACKSLASH) first -= 1;
    const isOdd = (end - first) % 2 === 1;
    this.#isEscaped = first === start ? isOdd !== this.#isEscaped : isOdd;
    return end;
  }
}
