import { TEXT_TYPE } from '../error-form.ts';
import type { Frames } from './dialect.ts';

/** The words and nothing else. Only a connection that breaks can say that they are not all. */
export const plainText = (): Frames => ({
  headers: { 'content-type': TEXT_TYPE, 'cache-control': 'no-cache', 'x-accel-buffering': 'no' },
  begin: '',
  piece: ({ text }) => text,
  end: () => '',
  fail: () => null,
  keepAlive: null,
});
