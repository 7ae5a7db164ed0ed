import { isFilled, type JsonObject } from '../json.ts';
import { type Content, fileDataOf } from './content.ts';

/** What a request uses of the things that Google stores, each for one project. */
export interface StoredResources {
  /** Such as `cachedContents/abc`. */
  readonly cachedContent: string | null;
  /** Such as `files/xyz`. Media that Google does not store, a video's address say, are left out. */
  readonly files: readonly string[];
}

export function storedResources(body: JsonObject, contents: readonly Content[]): StoredResources {
  const { cachedContent = body.cached_content } = body;
  return {
    cachedContent: isFilled(cachedContent) ? cachedContent : null,
    files: contents.flatMap(({ parts }) => parts.flatMap(fileOf)),
  };
}

const STORED_FILE = /(?:^|\/v1\w*\/)(files\/[^/?#:]+)/;

function fileOf(part: JsonObject): string[] {
  const fileData = fileDataOf(part) ?? {};
  const { fileUri = fileData.file_uri } = fileData;
  const name = STORED_FILE.exec(String(fileUri))?.[1];
  return name === undefined ? [] : [name];
}
