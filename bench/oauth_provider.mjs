// bench/oauth_provider.mjs PORT JWK_FILE: oidc-provider 9 with its memory adapter: one client that authenticates with private_key_jwt and asks for
// client_credentials; JWT access tokens signed with ES256. Run where the package is installed.
import { readFileSync } from 'node:fs';
import { Provider } from 'oidc-provider';

const [port, file] = process.argv.slice(2);
const jwk = JSON.parse(readFileSync(file, 'utf8'));
const { d, ...publicJwk } = jwk;
const scope = 'system/Observation.rs';
const provider = new Provider(`http://127.0.0.1:${port}`, {
  clients: [{ client_id: 'bench', token_endpoint_auth_method: 'private_key_jwt', token_endpoint_auth_signing_alg: 'ES256', id_token_signed_response_alg: 'ES256',
    grant_types: ['client_credentials'], redirect_uris: [], response_types: [], jwks: { keys: [publicJwk] }, scope }],
  jwks: { keys: [{ ...jwk, kid: 'server', alg: 'ES256', use: 'sig' }] },
  clientAuthMethods: ['private_key_jwt'],
  enabledJWA: { clientAuthSigningAlgValues: ['ES256'] },
  scopes: [scope],
  ttl: { ClientCredentials: 300 },
  features: {
    devInteractions: { enabled: false },
    clientCredentials: { enabled: true },
    resourceIndicators: { enabled: true, defaultResource: () => 'https://bench.example.org/fhir', useGrantedResource: () => true,
      getResourceServerInfo: () => ({ scope, accessTokenTTL: 300, accessTokenFormat: 'jwt', jwt: { sign: { alg: 'ES256' } } }) },
  },
});
provider.listen(Number(port), '127.0.0.1', () => console.log('listening'));
