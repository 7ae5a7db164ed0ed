import { TEXT_TYPE } from '../error-form.ts';
import { EVENT_STREAM, type Frames } from './dialect.ts';

/** The words and nothing else. Only a connection that breaks can say that they are not all. */
export const plainText = (): Frames => ({
  headers: { ...EVENT_STREAM, 'content-type': TEXT_TYPE },
  begin: '',
  piece: ({ text }) => text,
  end: () => '',
  fail: () => null,
  keepAlive: null,
});
