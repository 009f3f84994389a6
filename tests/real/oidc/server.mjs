// An OAuth2 server for the tests: oidc-provider with two applications and one mail server that may introspect tokens.
//
// The one argument is JSON: `accessSeconds` (how long an access token lives), `tokenLength` (characters of an access
// token), `plain` (true: no discovery document and no OpenID scopes, as a bare OAuth2 server). It listens on a free
// loopback port and prints one JSON object a line: first `{"port": n}`, then one for each thing that happens at the
// token endpoint, with the secrets that went over it.
import http from 'node:http';
import Provider, { errors } from 'oidc-provider';

const settings = { accessSeconds: 3600, tokenLength: 43, plain: false, ...JSON.parse(process.argv[2] ?? '{}') };
const mailScopes = ['mail.imap', 'mail.pop', 'mail.smtp'];
const personScopes = [...(settings.plain ? [] : ['openid', 'offline_access']), ...mailScopes];
// With this scope an application may open every mailbox.
const applicationScope = 'mail.anybody';
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const server = http.createServer();
await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
const { port } = server.address();

// `bits` of the library's randomness are written with six bits to a character.
const bitsFor = (characters) => characters * 6;

const provider = new Provider(`http://localhost:${port}`, {
  clients: [
    {
      client_id: 'mail-program',
      client_secret: 'program+secret/with=odd&signs%20',
      application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: ['http://localhost', 'http://127.0.0.1'],
      scope: personScopes.join(' '),
      token_endpoint_auth_method: 'client_secret_post',
    },
    {
      client_id: 'public-program',
      application_type: 'native',
      grant_types: ['authorization_code', 'refresh_token'],
      response_types: ['code'],
      redirect_uris: ['http://localhost', 'http://127.0.0.1'],
      scope: personScopes.join(' '),
      token_endpoint_auth_method: 'none',
    },
    {
      client_id: 'application',
      client_secret: 'application-secret',
      grant_types: ['client_credentials'],
      scope: [...mailScopes, applicationScope].join(' '),
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: 'client_secret_post',
    },
    {
      client_id: 'mail-server',
      client_secret: 'mail-server-secret',
      grant_types: [],
      response_types: [],
      redirect_uris: [],
      token_endpoint_auth_method: 'client_secret_basic',
    },
  ],
  scopes: [...personScopes, applicationScope],
  cookies: { keys: ['for the tests alone'] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  pkce: { required: () => false },
  issueRefreshToken: async (_ctx, client) => client.grantTypeAllowed('refresh_token'),
  rotateRefreshToken: true,
  formats: {
    bitsOfOpaqueRandomness: (_ctx, token) => (
      ['AccessToken', 'ClientCredentials'].includes(token?.kind) ? bitsFor(settings.tokenLength) : 256
    ),
  },
  ttl: {
    AccessToken: settings.accessSeconds,
    ClientCredentials: settings.accessSeconds,
    AuthorizationCode: 60,
    Grant: 86400,
    IdToken: 3600,
    Interaction: 600,
    RefreshToken: 86400,
    Session: 86400,
  },
  features: {
    devInteractions: { enabled: true },
    clientCredentials: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
});

provider.use(async (ctx, next) => {
  if (settings.plain && ctx.path.startsWith('/.well-known/')) {
    throw new errors.InvalidRequest('this server has no discovery document');
  }
  await next();
  if (ctx.path === '/token') {
    const sent = ctx.oidc?.params ?? {};
    say({
      grant: sent.grant_type ?? null,
      client: ctx.oidc?.client?.clientId ?? null,
      status: ctx.status,
      error: ctx.body?.error ?? null,
      idToken: Boolean(ctx.body?.id_token),
      verifier: Boolean(sent.code_verifier),
      // What nobody may see again.
      secrets: [ctx.body?.access_token, ctx.body?.refresh_token, sent.code, sent.code_verifier, sent.client_secret]
        .filter(Boolean),
    });
  }
});
provider.on('server_error', (_ctx, error) => say({ serverError: String(error?.stack ?? error) }));
provider.on('revocation_grant', () => say({ grantRevoked: true }));
provider.on('grant.revoked', () => say({ grantRevoked: true }));

server.on('request', provider.callback());
say({ port });
