const MARKUP = /^\s*<[!?a-z]/i;
const TITLE = /<title[^<>]*>([^<]*)</i;
const TAGS = /<[^<>]*>/g;

/** Whether a body is a page or XML: then it was a server in between that spoke, not the API. */
export const isHtml = (body: string): boolean => MARKUP.test(body);

/** @returns the page's title where it has one, else its text. */
export function htmlToText(body: string): string {
  return TITLE.exec(body)?.[1]?.trim() || body.replace(TAGS, ' ');
}
