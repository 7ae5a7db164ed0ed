// @ts-check

const dark = matchMedia('(prefers-color-scheme: dark)');
const followTheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', followTheme);
followTheme();

/** Accessible names for controls that Swagger UI leaves without one, or gives a different one. */
const NAMES = Object.entries({
  '.examples-select-element': 'Example',
  '.body-param__text': 'Request body',
  '.close-modal': 'Close',
  '.auth-btn-wrapper .authorize': 'Authorize',
  '.auth-btn-wrapper .logout': 'Logout',
});

function nameControls() {
  for (const [selector, name] of NAMES) {
    for (const control of document.querySelectorAll(selector)) control.ariaLabel = name;
  }
  for (const choice of document.querySelectorAll('[data-param-name] select')) {
    choice.ariaLabel = choice.closest('[data-param-name]')?.getAttribute('data-param-name') ?? '';
  }
}
new MutationObserver(nameControls).observe(document.body, { childList: true, subtree: true });

/** @type {any} */
const { SwaggerUIBundle } = globalThis;
SwaggerUIBundle({
  url: '/openapi.json',
  dom_id: '#routes',
  validatorUrl: null,
  // Otherwise there are links within buttons.
  deepLinking: false,
  // A theme with enough contrast.
  syntaxHighlight: { theme: 'obsidian' },
});
