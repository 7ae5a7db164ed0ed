/** What in a request may be the reason for a provider's refusal. */
export interface RequestShape {
  /** What is special about it, such as `search`, `media` and `schema`; empty for plain text of ordinary size. */
  readonly features: readonly string[];
  /** Input tokens, estimated. */
  readonly tokens: number;
  /** The most that they could be: digits and some scripts have a token for each letter. */
  readonly mostTokens: number;
  /** How many requests the provider counts for it. Default: 1. */
  readonly requests?: number;
}

export const PLAIN = (): RequestShape => ({ features: [], tokens: 0, mostTokens: 0 });

/**
 * A caller's own functions. Agents send them with every request, and no quota is metered apart for them. But a
 * refusal may quote their names.
 */
export const FUNCTIONS = 'functions';

/** An image, a sound or a document in a request. */
export interface InlineMedia {
  readonly mediaType: string;
  /** The length of its base64 text. */
  readonly length: number;
}

/**
 * @param readFeatures the names of what is special, in any order; called once at most
 * @param textBytes of the whole request, without inline media
 * @param countRequests as how many requests the provider counts it; called once at most
 */
export function shapeOf(
  readFeatures: () => readonly string[],
  textBytes: number,
  media: readonly InlineMedia[] = [],
  countRequests: () => number = () => 1,
): RequestShape {
  const textTokens = Math.ceil(textBytes / BYTES_PER_TOKEN);
  const tokens = media.reduce((sum, one) => sum + tokensIn(one), textTokens);
  const mostTokens = media.reduce((sum, one) => sum + TIMES_AT_MOST * tokensIn(one), textBytes);
  let features: readonly string[] | null = null;
  let requests: number | null = null;
  return {
    tokens,
    mostTokens,
    get features() {
      features ??= [
        ...new Set([
          ...readFeatures(),
          ...(media.length === 0 ? [] : ['media']),
          ...SIZES.filter(([, above]) => tokens > above).map(([name]) => name),
        ]),
      ].sort();
      return features;
    },
    get requests() {
      requests ??= countRequests();
      return requests;
    },
  };
}

/** For plain English these are characters; other scripts have more bytes and more tokens for each. */
const BYTES_PER_TOKEN = 4;

/**
 * A larger request may exceed limits that ordinary ones never reach. It has every class up to its own: what is
 * refused to a smaller one is refused to a larger one too.
 */
const SIZES: readonly (readonly [name: string, above: number])[] = [
  ['over-30k', 30_000],
  ['over-120k', 120_000],
  ['over-480k', 480_000],
];

/**
 * Google counts an image by its tiles, a sound and a video by their seconds, a document by its pages
 * (https://ai.google.dev/gemini-api/docs/tokens): for usual encodings that many bytes to the token.
 */
const TOKENS_PER_IMAGE = 1120;
const BYTES_PER_MEDIA_TOKEN = 300;
/** A document of little text in few bytes may have many pages. */
const TIMES_AT_MOST = 30;

const tokensIn = ({ mediaType, length }: InlineMedia) =>
  mediaType.startsWith('image/') ? TOKENS_PER_IMAGE : Math.ceil(length / BYTES_PER_MEDIA_TOKEN);
