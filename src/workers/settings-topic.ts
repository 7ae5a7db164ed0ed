/** What a worker asks first: the environment that its primary has read. */
export const SETTINGS_TOPIC = 'settings';
