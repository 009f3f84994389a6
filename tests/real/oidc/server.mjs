// An OAuth2 server for the tests: oidc-provider with two applications and one mail server that may introspect tokens.
//
// The one argument is JSON: `accessSeconds` (how long an access token lives), `tokenLength` (characters of an access
// token), `plain` (true: no discovery document and no OpenID scopes, as a bare OAuth2 server), `basicOnly` (true: secrets
// are taken in a header alone, and the discovery document says so), `certificate` and `algorithm` (whose signature proves
// the application `certified-application`, and how it must sign). It listens on a free loopback port and prints one JSON object a line: first `{"port": n}`, then one for each thing that happens at the
// token endpoint, with the secrets that went over it.
import { X509Certificate } from 'node:crypto';
import http from 'node:http';
import Provider, { errors } from 'oidc-provider';

const settings = { accessSeconds: 3600, tokenLength: 43, plain: false, ...JSON.parse(process.argv[2] ?? '{}') };
const mailScopes = ['mail.imap', 'mail.pop', 'mail.smtp'];
const personScopes = [...(settings.plain ? [] : ['openid', 'email', 'offline_access']), ...mailScopes];
// With this scope an application may open every mailbox.
const applicationScope = 'mail.anybody';
const say = (what) => process.stdout.write(`${JSON.stringify(what)}\n`);

const server = http.createServer();
await new Promise((listening) => { server.listen(0, '127.0.0.1', listening); });
const { port } = server.address();

// `bits` of the library's randomness are written with six bits to a character.
const bitsFor = (characters) => characters * 6;

// The password that every user has at this provider.
const userPassword = 'the user\'s own + at the provider %';
const alone = {
  grant_types: ['client_credentials'],
  scope: [...mailScopes, applicationScope].join(' '),
  response_types: [],
  redirect_uris: [],
};
const certified = settings.certificate ? [{
  ...alone,
  client_id: 'certified-application',
  jwks: { keys: [new X509Certificate(settings.certificate).publicKey.export({ format: 'jwk' })] },
  token_endpoint_auth_method: 'private_key_jwt',
  token_endpoint_auth_signing_alg: settings.algorithm,
}] : [];
const basicClients = [
  {
    ...alone,
    client_id: 'basic application',
    client_secret: 'a:colon+plus/and%25percent',
    token_endpoint_auth_method: 'client_secret_basic',
  },
  {
    client_id: 'mail-server',
    client_secret: 'mail-server-secret',
    grant_types: [],
    response_types: [],
    redirect_uris: [],
    token_endpoint_auth_method: 'client_secret_basic',
  },
];
const postClients = settings.basicOnly ? [] : [
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
    client_id: 'device-program',
    application_type: 'native',
    grant_types: ['urn:ietf:params:oauth:grant-type:device_code', 'refresh_token'],
    response_types: [],
    redirect_uris: [],
    scope: personScopes.join(' '),
    token_endpoint_auth_method: 'none',
  },
  {
    ...alone,
    client_id: 'password-program',
    client_secret: 'password-program-secret',
    grant_types: ['password'],
    scope: mailScopes.join(' '),
    token_endpoint_auth_method: 'client_secret_post',
  },
];

const provider = new Provider(`http://localhost:${port}`, {
  clients: [...basicClients, ...certified, ...postClients],
  clientAuthMethods: ['client_secret_basic', ...(settings.basicOnly ? [] : ['client_secret_post', 'private_key_jwt', 'none'])],
  scopes: [...personScopes, applicationScope],
  cookies: { keys: ['for the tests alone'] },
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, email: id }) }),
  // Who asks for it is told who signed in, in the ID token itself.
  claims: { openid: ['sub'], email: ['email'] },
  conformIdTokenClaims: false,
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
    deviceFlow: { enabled: true },
    introspection: { enabled: true },
    revocation: { enabled: true },
  },
});

provider.registerGrantType('password', async (ctx) => {
  const { client, params } = ctx.oidc;
  if (params.password !== userPassword) {
    throw new errors.InvalidGrant('the password is another');
  }
  const grant = new provider.Grant({ accountId: params.username, clientId: client.clientId });
  grant.addOIDCScope(params.scope);
  const token = new provider.AccessToken({
    accountId: params.username, client, grantId: await grant.save(), gty: 'password', scope: params.scope,
  });
  // A number as text, as older endpoints have it.
  ctx.body = { access_token: await token.save(), expires_in: String(token.expiration), token_type: token.tokenType };
}, ['username', 'password', 'scope']);

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
      assertion: Boolean(sent.client_assertion),
      basic: (ctx.headers.authorization ?? '').startsWith('Basic '),
      description: ctx.body?.error_description ?? null,
      // What nobody may see again.
      secrets: [ctx.body?.access_token, ctx.body?.refresh_token, sent.code, sent.code_verifier, sent.client_secret,
        sent.client_assertion, sent.password, sent.device_code]
        .filter(Boolean),
    });
  }
});
provider.on('server_error', (_ctx, error) => say({ serverError: String(error?.stack ?? error) }));
provider.on('revocation_grant', () => say({ grantRevoked: true }));
provider.on('grant.revoked', () => say({ grantRevoked: true }));

server.on('request', provider.callback());
say({ port });
