// A third-party OpenID Connect provider (npm oidc-provider) on loopback: node provider.cjs MODULES PORT REDIRECT GROUPS
const path = require("path");
const { pathToFileURL } = require("url");
const [modules, port, redirect, groups] = process.argv.slice(2);
(async () => {
  const found = path.join(modules, "node_modules/oidc-provider/lib/index.js");
  const { default: Provider } = await import(pathToFileURL(found).href);
  const provider = new Provider(`http://127.0.0.1:${port}`, {
    clients: [{ client_id: "neurath", client_secret: "a secret of the client's", redirect_uris: [redirect],
      token_endpoint_auth_method: "client_secret_basic" }],
    claims: { openid: ["sub", "preferred_username", "groups"] },
    conformIdTokenClaims: false,
    pkce: { required: () => true },
    features: { devInteractions: { enabled: true } },
    findAccount: (_ctx, id) => ({ accountId: id,
      claims: () => ({ sub: id, preferred_username: id, groups: groups.split(",") }) }),
  });
  provider.listen(Number(port), "127.0.0.1", () => console.log("ready"));
})();
