/** Whether the server has said it itself. */
export const isRefusal = ({ name }: Error): boolean => name === 'ReplyError';

/** It is no master, or not any more. */
export const isOfReplica = ({ message }: Error): boolean => message.startsWith('READONLY');

/** How a server begins that takes no command now, whichever it is. */
const OF_ALL_COMMANDS =
  /^(?:OOM|READONLY|MASTERDOWN|LOADING|MISCONF|NOAUTH|NOPERM|WRONGPASS|CLUSTERDOWN|NOREPLICAS) /;

/** Whether the next command would fail too; else it is the matter of this one alone. */
export const isOfTheLink = (error: unknown): boolean =>
  !(error instanceof Error) || !isRefusal(error) || OF_ALL_COMMANDS.test(error.message);

/** Without the arguments of a command that the server did not know, of which one may be the password. */
export const wordsOf = ({ message }: Error): string => message.replace(/,? with args .*$/s, '');
