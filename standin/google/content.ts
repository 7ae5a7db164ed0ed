import { isObject, type JsonObject } from '../json.ts';

/** One turn of a conversation. */
export interface Content {
  readonly role?: string;
  readonly parts: readonly JsonObject[];
}

export const functionCallOf = ({ functionCall, function_call }: JsonObject) =>
  objectOrNull(functionCall ?? function_call);

export const functionResponseOf = ({ functionResponse, function_response }: JsonObject) =>
  objectOrNull(functionResponse ?? function_response);

export const fileDataOf = ({ fileData, file_data }: JsonObject) =>
  objectOrNull(fileData ?? file_data);

const objectOrNull = (value: unknown): JsonObject | null => (isObject(value) ? value : null);
