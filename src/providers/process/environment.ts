/** Which variables of the engine's environment a provider's process may see. Source: design.md section 13. */

/** What every CLI needs to run as the user; a trailing `*` stands for any ending. */
const COMMON = [
  'PATH',
  'HOME',
  'USER',
  'LOGNAME',
  'SHELL',
  'TERM',
  'TMPDIR',
  'TZ',
  'LANG',
  'LANGUAGE',
  'LC_*',
  'XDG_*',
  'SSH_AUTH_SOCK',
  'SSL_CERT_FILE',
  'SSL_CERT_DIR',
  'NODE_EXTRA_CA_CERTS',
  'HTTP_PROXY',
  'HTTPS_PROXY',
  'NO_PROXY',
  'http_proxy',
  'https_proxy',
  'no_proxy',
];

/** The variables of `environment` that are allowed for a provider with these `names` of its own. */
export function allowedEnvironment(selection: {
  environment: Readonly<Record<string, string | undefined>>;
  names: readonly string[];
}): Record<string, string> {
  const allowed: Record<string, string> = {};
  const patterns = [...COMMON, ...selection.names];
  for (const [name, value] of Object.entries(selection.environment))
    if (value !== undefined && patterns.some((pattern) => matches(name, pattern)))
      allowed[name] = value;
  return allowed;
}

function matches(name: string, pattern: string): boolean {
  return pattern.endsWith('*') ? name.startsWith(pattern.slice(0, -1)) : name === pattern;
}
