import type { UIDataTypes, UIMessage } from 'ai';
import type { UnderstudyMetadata } from '../../understudy-client';

/** A tool for each entry of `tools.json`, which the server declares to the model. */
export type Tools = {
  local_time: {
    input: { timeZone?: string };
    output: { time: string; timeZone: string };
  };
};

export type Message = UIMessage<UnderstudyMetadata, UIDataTypes, Tools>;
