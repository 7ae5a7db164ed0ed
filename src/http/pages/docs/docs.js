// @ts-check

const dark = matchMedia('(prefers-color-scheme: dark)');
const followTheme = () => document.documentElement.classList.toggle('dark-mode', dark.matches);
dark.addEventListener('change', followTheme);
followTheme();

/** What Swagger UI leaves without a name, or gives another than it shows; a screen reader needs it. */
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
  // Its links would stand within buttons.
  deepLinking: false,
  // Of its themes one whose colours can all be told from their ground.
  syntaxHighlight: { theme: 'obsidian' },
});
