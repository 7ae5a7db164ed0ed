import { adminOperations } from './admin-operations.ts';
import { avatarOperations } from './avatar-operations.ts';
import { chatOperations } from './chat-operations.ts';
import type { DescribedServer } from './described-server.ts';
import { developerOperations } from './developer-operations.ts';
import { geminiOperations } from './gemini-operations.ts';
import { keysOperations } from './keys-operations.ts';
import { modelsOperations } from './models-operations.ts';
import { openaiOperations } from './openai-operations.ts';
import type { Operation } from './operation.ts';

/** Everything that this server can be asked; each group of routes tells of its own. */
export const operationsOf = (server: DescribedServer): readonly Operation[] => [
  ...chatOperations(server),
  ...avatarOperations(server),
  ...keysOperations(),
  ...(server.servesAdmin ? adminOperations() : []),
  ...(server.servesPrograms ? programOperations(server) : []),
  ...developerOperations(),
];

const programOperations = (server: DescribedServer) => [
  ...openaiOperations(server),
  ...geminiOperations(server),
  ...modelsOperations(server),
];
